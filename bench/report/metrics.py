"""What the paper's tables count, how each of it is read from a run, and what may be said of a difference."""

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import pairwise
from statistics import fmean
from typing import Any

import torch

from bench.report.table import Cell, Quantity
from fixtures.energy import Energy
from fixtures.record import Data, Record, Scores

# Records of the archive that torch.save has written since 2.1 (the first two) and since 2.7; the paper used 2.0.1.
# Source: pytorch's docs/source/notes/serialization.rst, its pull requests 100994 and 147788.
RECORDS_SINCE_THE_PAPER = ("byteorder", ".data/serialization_id", ".format_version", ".storage_alignment")
# Of an entry in the directory of a zip archive, without the name.
DIRECTORY_ENTRY_BYTES = 46

SCORE, SIZE, COUNT, RESOURCE = "score", "size", "count", "resource"

WHOLE_MACHINE = (
    "the paper's is of its whole machine while something ran for seconds, ours of this process and its children"
)
FRESH_PROCESS = (
    "the paper's is of its whole machine, ours the peak of a fresh process that holds or trains this case alone, "
    "imports included"
)
EPOCHS_DIFFER = "the paper's is a setting; here validation chooses the epoch"
INFERENCE_DIFFERS = (
    "another machine; the paper's two seconds of Tables 7 and 9 to 12 are not explained by its own Table 2, which has "
    "0.004 s for the dense SplineNet"
)
TRAINING_DIFFERS = "another machine; the paper does not say what its durations hold, ours are CPU seconds of training"


@dataclass(frozen=True)
class Metric:
    """Something the paper reports or a run measures.

    `kind` says how both are compared: a score by statistics, a size within an allowance, a count exactly, and a
    resource not at all, for the reason `incomparable`. `path` is the field of the record that is null without a value.
    """

    header: str
    style: str
    read: Callable[[Any], Cell]
    kind: str = ""
    path: str = ""
    incomparable: str = ""


def scores(found: Scores) -> Cell:
    """A mean over the seeds with its standard deviation."""
    return None if found.mean is None else Quantity(found.mean, std=found.std)


def joules(energy: Energy) -> Cell:
    """An energy with the source it comes from."""
    return None if energy.value is None else Quantity(energy.value, note=energy.source)


def scaled(value: float | None, factor: float) -> float | None:
    """A value in another unit; None was not measured."""
    return None if value is None else value * factor


def algorithm1_ratio(record: Record, removed_bytes: int = 0) -> float:
    """How many times smaller the file of Algorithm 1 is than the dense one, without these bytes in either."""
    return (record.size_bytes.dense - removed_bytes) / (record.size_bytes.algorithm1 - removed_bytes)


@cache
def bytes_since_the_paper() -> int:
    """Bytes of every file of torch.save that go to records which torch 2.0.1 did not write.

    A record is a local header, padding to 64 bytes, its content and an entry of the archive's directory.
    """
    buffer = io.BytesIO()
    torch.save({}, buffer)
    with zipfile.ZipFile(buffer) as archive:
        infos = archive.infolist()
        starts = [*(info.header_offset for info in infos), archive.start_dir]
    return sum(
        end - start + DIRECTORY_ENTRY_BYTES + len(info.filename)
        for info, (start, end) in zip(infos, pairwise(starts), strict=True)
        if info.filename.partition("/")[2] in RECORDS_SINCE_THE_PAPER
    )


def ratio_in_older_container(record: Record) -> float:
    """The size ratio of Algorithm 1 had both files been written by torch 2.0.1, as the paper's were."""
    return algorithm1_ratio(record, bytes_since_the_paper())


def _agreement(record: Record) -> Cell:
    found = record.integer_agreement
    return None if found is None else Quantity(found.classes, note=f"{found.identical:.1%} of the logits")


def _others(record: Record) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {found.mean:.3f}" for name, found in record.other_scores.items())


def _epochs(record: Record) -> Cell:
    kept, run = ([count for count in counts if count is not None] for counts in (record.best_epoch, record.epochs))
    return Quantity(fmean(kept), note=f"of {fmean(run):.0f}") if kept and run else None


def _smaller(record: Record) -> Cell:
    return Quantity(record.size_bytes.encoded, note=f"{1 / record.size_ratio:.1f}x")


def _inference(record: Record) -> Cell:
    seconds, speedup = record.latency_s.compressed, record.speedup.compression
    return seconds and Quantity(seconds * 1e3, note="" if speedup is None else f"{speedup:.2f}x")


def _training_memory_mb(record: Record) -> float | None:
    return scaled(record.training_memory_bytes.peak_rss, 1e-6)


ENERGY = Metric("energy J", ",.3g", lambda r: joules(r.energy_j), RESOURCE, "energy_j.value", WHOLE_MACHINE)
PROCESSOR = Metric("CPU %", ".1f", lambda r: r.cpu_percent, RESOURCE, "cpu_percent", WHOLE_MACHINE)
MEMORY = Metric(
    "memory MB", ",.0f", lambda r: scaled(r.memory_bytes.peak_rss, 1e-6), RESOURCE, "memory_bytes.peak_rss",
    FRESH_PROCESS,
)  # fmt: skip
TRAINING_MEMORY = replace(
    MEMORY, header="memory MB of training", path="training_memory_bytes.peak_rss",
    read=_training_memory_mb,
)  # fmt: skip
TRAINING_ENERGY = replace(
    ENERGY,
    header="energy J of training",
    style=",.5g",
    path="training_energy_j.value",
    read=lambda r: joules(r.training_energy_j),
)

METRICS: dict[str, Metric] = {
    "accuracy": Metric("accuracy", ".3f", lambda r: scores(r.accuracy), SCORE),
    "algorithm1_ratio": Metric("size ratio", ".2f", algorithm1_ratio, SIZE),
    "parameters": Metric("parameters", ",.0f", lambda r: r.parameters, COUNT),
    "epochs": Metric("epochs", ".0f", _epochs, RESOURCE, incomparable=EPOCHS_DIFFER),
    "training_s": Metric("training s", ",.1f", lambda r: r.training_s, RESOURCE, "training_s", TRAINING_DIFFERS),
    "latency_s": Metric(
        "inference s", ",.3g", lambda r: r.latency_s.compressed, RESOURCE, "latency_s.compressed", INFERENCE_DIFFERS
    ),
    "energy_j": ENERGY,
    "cpu_percent": PROCESSOR,
    "memory_mb": MEMORY,
    "training_energy_j": TRAINING_ENERGY,
    "training_cpu_percent": replace(
        PROCESSOR,
        header="CPU % of training",
        path="training_cpu_percent",
        read=lambda r: r.training_cpu_percent,
    ),
    "training_memory_mb": TRAINING_MEMORY,
    "training_memory_gb": replace(
        TRAINING_MEMORY,
        header="memory GB of training",
        style=".2f",
        read=lambda r: scaled(_training_memory_mb(r), 1e-3),
    ),
    # What only a run measures.
    "seeds": Metric("seeds", "", lambda r: len(r.seeds)),
    "other_scores": Metric("also", "", _others),
    "state_entries": Metric("with buffers", ",.0f", lambda r: r.state_entries),
    "decodable": Metric("decodable file", ".2f", lambda r: 1 / r.size_ratio),
    "older_container": Metric("size ratio, torch 2.0", ".2f", ratio_in_older_container),
    "values_alone": Metric("values alone", ".2f", lambda r: r.parameters / r.nonzero_parameters),
    "drop": Metric("drop", "+.3f", lambda r: Quantity(r.accuracy_drop.mean, interval=r.accuracy_drop.ci95)),
    "mean_bits": Metric("mean bits", ".2f", lambda r: r.bit_width.mean),
    "bytes": Metric("bytes", ",.0f", _smaller),
    "inference_ms": Metric("inference ms", ",.3g", _inference, path="latency_s.compressed"),
    "integer_agreement": Metric("integers as simulated", ".2%", _agreement),
    "near_zero_share": Metric("near zero", ".1%", lambda r: r.near_zero_share),
}


def _statistic(name: str, data: Data) -> Cell:
    return data.statistics.get(name)


STATISTICS = ("graphs", "nodes", "edges", "features", "labels")
METRICS |= {name: Metric(name, ",.0f", partial(_statistic, name), COUNT) for name in STATISTICS}
METRICS |= {
    name: Metric(name.replace("_", " "), "", partial(_statistic, name))
    for name in ("nodes_per_graph", "edges_per_graph")
}

EXTREMES: Mapping[str, Callable[[Sequence[Quantity]], Quantity]] = {"max": max, "min": min}


def _extreme(kind: str, metric: Metric, cases: Sequence[Record]) -> Cell:
    """The highest or lowest value over the sparsities, or that of the dense model, with where and whence it is."""
    of_kind = [case for case in cases if (case.method == "dense") == (kind == "base")]
    found = [(case, value) for case in of_kind if isinstance(value := metric.read(case), int | float)]
    values = [Quantity(value, note=_origin(case, value)) for case, value in found]
    return EXTREMES.get(kind, max)(values) if values else None


def _origin(case: Record, value: float) -> str:
    sparsity = f"{case.settings['sparsity']:g}" if "sparsity" in case.settings else ""
    return ", ".join(part for part in (sparsity, getattr(value, "note", "")) if part)


METRICS |= {
    f"{name}.{kind}": replace(
        METRICS[name], header=f"{METRICS[name].header}, {shown}", read=partial(_extreme, kind, METRICS[name])
    )
    for name in ("memory_mb", "energy_j", "cpu_percent")
    for kind, shown in (("max", "max"), ("min", "min"), ("base", "dense"))
}

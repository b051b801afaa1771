"""Records as the table that ends a run."""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from tabulate import tabulate

HEADERS = ("case", "accuracy ± std (vs dense)", "bytes (x)", "latency ms (x)", "energy J (source)", "gate")
UNEXPLAINED = "no reason was recorded"


def summary_table(records: Sequence[Mapping[str, Any]], *, failures_shown: bool = False) -> str:
    """One row per case, in the order of the ids, under the task and model that it shares with its neighbours.

    (x) is how many times smaller or faster than the dense model on the same runtime; what was not measured
    is a dash. Below the table stands what else a reader must know; `failures_shown` leaves out the reasons of failed
    cases, which pytest has printed already.
    """
    records = sorted(records, key=lambda record: _split(record["id"]))
    rows = []
    for model, cases in groupby(records, key=lambda record: _split(record["id"])[0]):
        rows.append([f"{model}:"])
        rows += [_row(record) for record in cases]
    table = tabulate(rows, headers=HEADERS, disable_numparse=True)
    return "\n".join([table, "", *_notes(records), *_complaints(records, failures_shown)])


def _split(case_id: str) -> tuple[str, str]:
    """Task and model of a case id, and the rest."""
    task, model, method = case_id.split(".", 2)
    return f"{task}.{model}", method


def _row(record: Mapping[str, Any]) -> list[str]:
    accuracy, energy = record["accuracy"], record["energy_j"]
    std = "" if accuracy["std"] is None else f" ± {accuracy['std']:.3f}"
    return [
        record["id"],
        f"{accuracy['mean']:.3f}{std} ({0.0 - record['accuracy_drop']['mean']:+.3f})",
        f"{record['size_bytes']['encoded']:,.0f} ({1 / record['size_ratio']:.2f}x)",
        _latency(record["latency_s"]["compressed"], record["speedup"]["compression"]),
        "-" if energy["value"] is None else f"{energy['value']:.3g} ({energy['source']})",
        record["gate"]["status"],
    ]


def _latency(latency_s: float | None, speedup: float | None) -> str:
    if latency_s is None:
        return "-"
    return f"{latency_s * 1e3:.3f}" + ("" if speedup is None else f" ({speedup:.2f}x)")


def _notes(records: Sequence[Mapping[str, Any]]) -> list[str]:
    seeds = sorted({len(record["seeds"]) for record in records})
    batches = sorted({record["latency_s"]["batch"] for record in records})
    notes = [
        f"means over {' or '.join(map(str, seeds))} seeds; latency: {' or '.join(batches)}, one thread, "
        f"{records[0]['latency_s']['statistic']}"
    ]
    runtime = [record["speedup"]["runtime"] for record in records if record["speedup"]["runtime"] is not None]
    if runtime:
        notes.append(
            f"the dense runtime itself is {statistics.median(runtime):.1f} times as fast as plain eager FP32 "
            "(no compression in that)"
        )
    if any(record["energy_j"]["source"] == "estimate" for record in records):
        notes.append("energy estimates follow CPU time by construction: they are no independent evidence")
    reasons = Counter(
        record["not_applicable"].get("latency_s.compressed", UNEXPLAINED)
        for record in records
        if record["latency_s"]["compressed"] is None
    )
    return notes + [
        f"latency of {cases} case{'s' * (cases > 1)} was not measured: {reason}" for reason, cases in reasons.items()
    ]


def _complaints(records: Sequence[Mapping[str, Any]], failures_shown: bool) -> list[str]:
    left_out = "fail" if failures_shown else None
    gates = [record["gate"] for record in records if record["gate"]["status"] != left_out]
    reasons = [sentence for gate in gates for sentence in (*gate["reasons"], *gate["improvements"])]
    return ["", *reasons] if reasons else []


def tracing_sentence(tracing: Mapping[str, Any]) -> str:
    """What another tool makes of a model's channel groups: which it cuts as we do, and what happens at the others."""
    groups: Mapping[str, str] = tracing["groups"]
    same = [name for name, outcome in groups.items() if outcome == "same"]
    others = "; ".join(f"{name}: {outcome}" for name, outcome in groups.items() if outcome != "same")
    return f"{tracing['tool']} on {tracing['form']} cuts {len(same)} of {len(groups)} groups as we do" + (
        f" ({others})" if others else ""
    )


def compared_sentence(compared: Mapping[str, Any]) -> str:
    """What another tool's quantization makes of a dense model: layers, accuracy, bytes and speed, its own both times.

    Integer products tell whether the layers really run on integers, or only keep their weights so.
    """
    layers = f"{compared['quantized_layers']} of {compared['layers']} layers"
    return (
        f"{compared['tool']} {compared['config']} on {compared['model']} quantizes {layers} "
        f"({compared['integer_products']} products on integers): "
        f"accuracy {compared['accuracy']:.3f} (dense {compared['dense_accuracy']:.3f}), "
        f"{compared['state_bytes']:,} bytes of torch.save (dense {compared['dense_state_bytes']:,}), "
        f"{compared['latency_s'] * 1e3:.3g} ms, {compared['speedup_to_forward']:.3g} times as fast as its own FP32 "
        f"forward pass and {compared['speedup_to_runtime']:.3g} times as our FP32 runtime"
    )


def cuda_sentence(cuda: Mapping[str, Any]) -> str:
    """What one inference takes on a GPU, and on the processor of the same machine."""
    peak, joules = cuda["peak_bytes"], cuda["energy_j"]
    memory = "its memory was not measured" if peak is None else f"{peak / 1e6:.1f} MB of tensors at most"
    energy = "its energy was not measured" if joules is None else f"{joules:.3g} J ({cuda['energy_source']})"
    return (
        f"{cuda['model']} on {cuda['device']}: {cuda['latency_s'] * 1e3:.3g} ms, on the processor "
        f"{cuda['processor_latency_s'] * 1e3:.3g} ms; {memory}, {energy}"
    )


def measuring_sentence(measuring_s: float, wall_s: float) -> str:
    """How much of a run was measuring, for which all else had to wait."""
    return f"measuring took {measuring_s:.0f} of {wall_s:.0f} s ({measuring_s / wall_s:.1%} of the run)"

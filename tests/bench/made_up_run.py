"""A run of every case of the table with numbers that are made up, for the tests of what is drawn from many records.

Run `python -m tests.bench.made_up_run FILE` to have its results file.
"""

import sys
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from bench.matrix import TABLE
from fixtures.record import Record, Results
from gnn.case import Case
from gnn.compression.quantized_bits import BitWidths
from gnn.compression.weight_statistics import WeightHistogram
from tests.bench.made_up_records import changed, made_up_record, made_up_results

PARAMETERS = {"spline": 69_143, "ness": 45_888, "hgpsl": 75_458, "gnnnet": 34_562, "gin": 43_271}
LAYERS = ("conv1.weight", "conv2.weight", "lin.weight")
QUANTIZING = {"qat", "degree-quant", "a2q", "post-training", "hybrid"}
BITS = {"fp32": 32, "fp16": 16, "int8": 8, "int4": 4}


def made_up_run(profile: str = "paper", **changes: Any) -> Results:  # noqa: ANN401
    """The results of every case that a profile has; the same numbers each time."""
    records = [_record(row.case, row.seeds[profile]) for row in TABLE if profile in row.seeds]
    return made_up_results(*records, profile=profile, **changes)


def _record(case: Case, seeds: int) -> Record:
    random = Random(case.id)
    sparsity = float(getattr(case.compression, "sparsity", 0.0) or 0.0)
    bits = getattr(case.compression, "bit_width", BITS[case.precision]) or 4
    bits = min(bits, 8) if case.compression.method in QUANTIZING else bits
    dense = 0.72 + 0.2 * Random(case.model).random()
    drops = [0.06 * sparsity**3 + 0.2 / bits**2 + random.gauss(0, 0.008) for _ in range(seeds)]
    values = [dense - drop for drop in drops]
    parameters = PARAMETERS.get(case.model, 50_000)
    encoded = parameters * (0.3 + 3.7 * (1 - sparsity)) * bits / 32
    dense_s, compressed_s = 0.004, 0.004 * (1 - 0.6 * sparsity * (case.compression.method == "structured"))
    timed = case.compression.method not in ("l2", "lottery-ticket")
    interval = (dense_s / compressed_s * 0.98, dense_s / compressed_s * 1.02)
    return changed(
        made_up_record("a-task.a-model.dense"),
        id=case.id,
        task=case.task,
        model=case.model,
        method=case.compression.method,
        method_id=case.method_id,
        settings=case.settings,
        seeds=list(range(seeds)),
        accuracy={"values": values, "mean": _mean(values), "std": _std(values)},
        accuracy_drop={"values": drops, "mean": _mean(drops), "ci95": _interval(drops)},
        compressed_tensors=0 if case.dense else 3,
        parameters=parameters,
        dense_parameters=parameters,
        sparsity=sparsity,
        layer_sparsity={name: min(1.0, sparsity * (0.8 + 0.2 * place)) for place, name in enumerate(LAYERS)},
        weight_histograms={name: _histogram(random, sparsity) for name in LAYERS},
        bit_width=msgspec.to_builtins(BitWidths(float(bits), float(bits), float(bits), _nodes(case))),
        size_bytes={"dense": 4.1 * parameters, "algorithm1": 4.2 * parameters * (1 - sparsity), "encoded": encoded},
        size_ratio=encoded / (4.1 * parameters),
        latency_s={"dense": dense_s, "compressed": compressed_s if timed else None},
        speedup={
            "compression": dense_s / compressed_s if timed else None,
            "compression_ci95": interval if timed else None,
        },
        energy_j={"value": 10 * compressed_s, "source": "estimate"},
        cpu_percent=99.0 + random.random(),
        memory_bytes={"peak_rss": int(5e8 + 1e6 * random.random())},
        best_epoch=[50] * seeds,
        epochs=[100] * seeds,
        truncated=[False] * seeds,
    )


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _std(values: list[float]) -> float | None:
    mean = _mean(values)
    return (sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5 if len(values) > 1 else None


def _interval(values: list[float]) -> tuple[float, float] | None:
    std = _std(values)
    half = 2.3 * (std or 0.0) / len(values) ** 0.5
    return None if std is None else (_mean(values) - half, _mean(values) + half)


def _nodes(case: Case) -> dict[str, dict[str, int]] | None:
    """Nodes by in-degree and bits, where a method gives nodes bits of their own."""
    of_degree = {str(degree): {"2": 5 * degree, "3": 40, "4": 100 - 10 * degree} for degree in range(5)}
    return of_degree if case.compression.method == "a2q" else None


def _histogram(random: Random, sparsity: float) -> WeightHistogram:
    places = [abs(2 * place / 40 - 1) for place in range(41)]
    before = tuple(int(200 * (1 - place) + 10 * random.random()) for place in places)
    after = tuple(0 if place < sparsity else count for place, count in zip(places, before, strict=True))
    return WeightHistogram(0.5, before, after, 0, sum(before) - sum(after))


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(msgspec.json.encode(made_up_run()))

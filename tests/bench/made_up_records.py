"""Records made by hand, for the tests of everything that reads records."""

import re
from typing import Any

import msgspec

from fixtures.energy import Energy
from fixtures.record import (
    AccuracyDrop,
    Gate,
    Instructions,
    Kernels,
    LatencyS,
    MemoryBytes,
    Record,
    Results,
    Scores,
    SizeBytes,
    Snapshot,
    Speedup,
)
from gnn.compression.quantized_bits import BitWidths

NUMBERS = {"sparsity": r"\.s(0\.\d+)", "rate": r"\.r(\d[\de.-]*?)(?=\.s0|\.ft|$)"}
WORDS = {
    **{"ste": "straight-through", "gc": "gradient-clipping"},
    **{"abs": "absolute", "mom": "momentum", "per": "percentile"},
}


def made_up_record(case_id: str, **changes: object) -> Record:
    """The record of a case such as a-task.a-model.global.s0.5.ft; its method and settings are those of the id."""
    task, model, method_id = case_id.split(".", 2)
    name, *parts = method_id.removesuffix(".ft").split(".")
    settings: dict[str, object] = {"sparsity": 0.0} if name == "l2" else {}
    settings |= {key: float(found[1]) for key, pattern in NUMBERS.items() if (found := re.search(pattern, method_id))}
    if name in ("qat", "degree-quant"):
        bits, variant = parts
        gradient, _, tracking = variant.partition("-")
        settings |= {"bit_width": int(bits[3:]), "gradient": WORDS[gradient], "tracking": WORDS[tracking]}
    precision = next((part[7:] for part in parts if part.startswith("stored-")), "fp32")
    settings |= {"fine_tune": case_id.endswith(".ft"), "precision": precision}
    compressed = 0 if name == "dense" or settings.get("sparsity") == 0 else 2
    names = {"id": case_id, "task": task, "model": model, "method": name, "method_id": method_id}
    return changed(MADE_UP, **{**names, "settings": settings, "compressed_tensors": compressed, **changes})


def made_up_results(*records: Record, **changes: Any) -> Results:  # noqa: ANN401
    """What a run with these cases writes."""
    given: dict[str, Any] = {
        "schema": 1,
        "machine": {"cpu": "a processor", "instruction_set": "AVX9", "cores": 2, "threads": 1, "class": "a-class"},
        "versions": {"python": "3.99", "torch": "9.8"},
        "protocol": "clean",
        "profile": "ci",
        "data": {record.task: {"source": "root"} for record in records},
        "wall_s": 600.0,
        "measuring_s": 150.0,
        "cases": msgspec.to_builtins(records),
    }
    return msgspec.convert(given | changes, Results)


def changed(record: Record, **changes: object) -> Record:
    """The same record with other fields; of a group of fields only those that are given."""
    fields: dict[str, Any] = msgspec.to_builtins(record)
    for name, value in changes.items():
        is_group = isinstance(getattr(record, name), msgspec.Struct | Energy) and isinstance(value, dict)
        fields[name] = fields[name] | value if is_group else value
    return msgspec.convert(msgspec.to_builtins(fields), Record)


MADE_UP = Record(
    id="a-task.a-model.dense",
    task="a-task",
    protocol="clean",
    model="a-model",
    method="dense",
    settings={"fine_tune": False, "precision": "fp32"},
    seeds=[0, 1, 2, 3],
    score="accuracy",
    accuracy=Scores([0.8834] * 4, 0.8834, 0.012),
    other_scores={},
    accuracy_drop=AccuracyDrop([0.0166] * 4, 0.0166, None),
    collapsed=False,
    parameters=1000,
    dense_parameters=1000,
    state_entries=1010,
    nonzero_parameters=250.0,
    sparsity=0.75,
    layer_sparsity={"first.weight": 0.7, "last.weight": 0.8},
    near_zero_share=0.0625,
    weight_histograms={},
    bit_width=BitWidths(32.0, 32.0, 32.0, None),
    integer_agreement=None,
    compressed_tensors=0,
    size_bytes=SizeBytes(5000.0, 2000.0, 1250.0, 1000.0, 990.0, 250),
    size_ratio=0.25,
    payload_ratio=1.01,
    training_s=12.34,
    validation_loss=0.5,
    best_epoch=[50, 60, 70],
    epochs=[150, 160, 170],
    truncated=[False] * 3,
    kernels=Kernels(None),
    latency_s=LatencyS(0.005, 0.0003, 0.00025, "full graph, 4 nodes", "the statistic"),
    speedup=Speedup(20.0, None, 7, "block minima", 1.0, None, 7, "block minima", 1.504, None, 7, "block minima", 1.5),
    instructions=Instructions(3e6, 2e6, 1.5, None),
    energy_j=Energy(0.00366, "estimate"),
    training_energy_j=Energy(1234.5, "rapl"),
    cpu_percent=99.4,
    memory_bytes=MemoryBytes(612_000_000, 210_000_000, None, 4000, None),
    runtime_difference=2e-7,
    measuring_s=4.5,
    not_applicable={},
    snapshot=Snapshot("a" * 64, foreign=False),
    gate=Gate("pass"),
)


def cells(table: str, row: str) -> list[str]:
    """The cells of a row, which are two or more spaces apart."""
    (line,) = [line for line in table.splitlines() if line.startswith(f"{row}  ")]
    return [cell.strip() for cell in line.split("  ") if cell.strip()]

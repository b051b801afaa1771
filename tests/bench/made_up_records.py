"""Records made by hand, for the tests of everything that reads records."""

import re
from typing import Any

Record = dict[str, Any]
NUMBERS = {"sparsity": r"\.s(0\.\d+)", "rate": r"\.r(\d[\de.-]*?)(?=\.s0|$)"}


def made_up_record(case_id: str, **changes: object) -> Record:
    """The record of a case such as a-task.a-model.global.s0.5.ft; its method and settings are those of the id."""
    task, model, method = case_id.removesuffix(".ft").split(".", 2)
    name = method.partition(".")[0]
    settings: dict[str, object] = {"sparsity": 0.0} if name == "l2" else {}
    settings |= {key: float(found[1]) for key, pattern in NUMBERS.items() if (found := re.search(pattern, method))}
    precision = method.partition(".stored-")[2] or "fp32"
    settings |= {"fine_tune": case_id.endswith(".ft"), "precision": precision}
    return {
        "id": case_id,
        "task": task,
        "model": model,
        "method": name,
        "settings": settings,
        "seeds": [0, 1, 2, 3],
        "accuracy": {"mean": 0.8834, "std": 0.012},
        "accuracy_drop": {"mean": 0.0166},
        "collapsed": False,
        "validation_loss": 0.5,
        "integer_agreement": None,
        "other_scores": {},
        "parameters": 1000,
        "state_entries": 1010,
        "nonzero_parameters": 250.0,
        "sparsity": 0.75,
        "layer_sparsity": {"first.weight": 0.7, "last.weight": 0.8},
        "compressed_tensors": 0 if name == "dense" or settings.get("sparsity") == 0 else 2,
        "near_zero_share": 0.0625,
        "bit_width": {"weights": 32.0, "activations": 32.0, "mean": 32.0, "histogram": None},
        "size_bytes": {"dense": 5000.0, "algorithm1": 2000.0, "encoded": 1250.0},
        "size_ratio": 0.25,
        "training_s": 12.34,
        "best_epoch": [50, 60, 70],
        "truncated": [False] * 3,
        "epochs": [150, 160, 170],
        "latency_s": {"compressed": 0.00025, "batch": "full graph, 4 nodes", "statistic": "the statistic"},
        "speedup": {
            "runtime": 20.0,
            "runtime_protocol": "paired CPU time",
            "reference": 1.0,
            "compression": 1.504,
            "compression_protocol": "block minima",
            "compression_baseline": 1.5,
        },
        "instructions": {"dense": 3e6, "compressed": 2e6, "ratio": 1.5, "reason": None},
        "energy_j": {"value": 0.00366, "source": "estimate"},
        "training_energy_j": {"value": 1234.5, "source": "rapl"},
        "cpu_percent": 99.4,
        "memory_bytes": {"peak_rss": 612_000_000, "weights": 4000},
        "not_applicable": {},
        "snapshot": {"sha256": "a" * 64, "foreign": False},
        "measuring_s": 4.5,
        "gate": {"status": "pass", "reasons": [], "improvements": []},
        **changes,
    }


def tables(text: str) -> dict[str, str]:
    """The text of each table by its number."""
    parts = [part for part in text.split("\n\n") if part]
    return {part.removeprefix("Table ").partition(":")[0]: part for part in parts}


def cells(table: str, row: str) -> list[str]:
    """The cells of a row, which are two or more spaces apart."""
    (line,) = [line for line in table.splitlines() if line.startswith(f"{row}  ")]
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def notes(table: str) -> list[str]:
    """What stands below a table, each note on one line."""
    rule = max(index for index, line in enumerate(table.splitlines()) if line.startswith("---"))
    below = "\n".join(line for line in table.splitlines()[rule + 1 :] if line.startswith(("- ", "  ")))
    return [note.removeprefix("- ") for note in below.replace("\n  ", " ").splitlines()]

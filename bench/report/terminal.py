"""Records as the table that ends a run."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

HEADERS = ("case", "accuracy ± std (vs dense)", "bytes (x)", "latency ms (x)", "energy J (source)", "gate")


def summary_table(records: Sequence[Mapping[str, Any]], *, failures_shown: bool = False) -> str:
    """One row per case, in the order of the ids, and below the table what else a reader must know.

    (x) is how many times smaller or faster than the dense model on the same runtime; what was not measured
    is a dash. `failures_shown` leaves out the reasons of failed cases, which pytest has printed already.
    """
    records = sorted(records, key=lambda record: record["id"])
    table = tabulate([_row(record) for record in records], headers=HEADERS, disable_numparse=True)
    return "\n".join([table, "", *_notes(records), *_complaints(records, failures_shown)])


def _row(record: Mapping[str, Any]) -> list[str]:
    accuracy, energy, latency_s = record["accuracy"], record["energy_j"], record["latency_s"]["compressed"]
    std = "" if accuracy["std"] is None else f" ± {accuracy['std']:.3f}"
    return [
        record["id"],
        f"{accuracy['mean']:.3f}{std} ({0.0 - record['accuracy_drop']['mean']:+.3f})",
        f"{record['size_bytes']['encoded']:,.0f} ({1 / record['size_ratio']:.2f}x)",
        f"{_figure(latency_s, '.3f', 1e3)} ({_figure(record['speedup']['compression'], '.2f')}x)",
        f"{_figure(energy['value'], '.3g')} ({energy['source']})",
        record["gate"]["status"],
    ]


def _figure(value: float | None, style: str, factor: float = 1.0) -> str:
    return "-" if value is None else format(value * factor, style)


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
    return notes


def _complaints(records: Sequence[Mapping[str, Any]], failures_shown: bool) -> list[str]:
    left_out = "fail" if failures_shown else None
    gates = [record["gate"] for record in records]
    reasons = [reason for gate in gates if gate["status"] != left_out for reason in gate["reasons"]]
    return ["", *reasons] if reasons else []

"""What graphs of growing size take, as a table."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.report.table import Table

STYLES = {
    "nodes": ",",
    "edges": ",",
    "CPU ns per edge": ",.0f",
    "peak MiB": ".1f",
    "peak bytes per edge": ",.0f",
    "error": ".0e",
}


def scaling_table(found: Sequence[Mapping[str, Any]]) -> Table:
    """A row for each model and size, the smaller ones first; peaks that the system does not tell are missing."""
    rows = []
    for one in sorted(found, key=lambda one: (one["model"], one["edges"])):
        peak = one["peak_bytes"]
        rows.append(
            (
                one["model"],
                one["nodes"],
                one["edges"],
                one["cpu_s"] / one["edges"] * 1e9,
                None if peak is None else peak / 2**20,
                None if peak is None else peak / one["edges"],
                one["error"],
                one["memory_limit"] // 2**20,
            )
        )
    return Table(
        key="scaling",
        title="Inference over blocks of nodes on planted graphs, features and edges from memory maps, one thread",
        headers=("model", *STYLES, "limit MiB"),
        rows=rows,
        styles=STYLES,
        notes=(
            "The peak is what inference takes beside what the process had before; --memory-limit is its limit.",
            "error: the largest difference to the compiled module on the whole graph, over its largest number.",
        ),
    )

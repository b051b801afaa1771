"""Records as one picture: accuracy over the bytes that were really written.

Run `python -m bench.report.picture RESULTS.json PICTURE.svg` on a file that --results wrote.
"""

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from gnn.errors import GnnError

LABELS = {"global": "global magnitude pruning", "fine-grained": "fine-grained pruning"}
COLORS = {"global": "tab:blue", "fine-grained": "tab:orange"}


def draw(records: Sequence[Mapping[str, Any]], machine: Mapping[str, Any]) -> Figure:
    """Mean test accuracy with its standard deviation over encoded size / dense size, one line per method."""
    dense = next((r for r in records if r["method"] == "dense" and not r["settings"]["fine_tune"]), None)
    if dense is None:
        raise GnnError("the results hold no dense case to compare with; run the suite without -k")
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for method, label in LABELS.items():
        for fine_tuned in (True, False):
            chosen = [r for r in records if r["method"] == method and r["settings"]["fine_tune"] is fine_tuned]
            chosen.sort(key=lambda record: record["size_ratio"])
            axes.errorbar(
                [record["size_ratio"] for record in chosen],
                [record["accuracy"]["mean"] for record in chosen],
                yerr=[
                    math.nan if record["accuracy"]["std"] is None else record["accuracy"]["std"] for record in chosen
                ],
                label=f"{label}, {'fine-tuned' if fine_tuned else 'not fine-tuned'}",
                color=COLORS[method],
                linestyle="-" if fine_tuned else ":",
                marker="o" if fine_tuned else "s",
                markersize=4,
                capsize=2,
            )
    axes.axhline(dense["accuracy"]["mean"], color="gray", linewidth=1, label="dense")
    seeds, task = len(dense["seeds"]), dense["task"]
    axes.set_xlabel("size of the written file / size of the dense file (log scale)")
    axes.set_ylabel(f"test accuracy, mean ± std of {seeds} seeds")
    axes.set_xscale("log")
    axes.set_xticks([0.1, 0.2, 0.3, 0.5, 0.85], ["0.10", "0.20", "0.30", "0.50", "0.85"], minor=False)
    axes.minorticks_off()
    axes.set_title(f"{dense['model']} on {task}: what pruning keeps ({machine['cpu']}, {machine['instruction_set']})")
    axes.legend(fontsize=8, loc="lower right")
    return figure


def main() -> None:
    """Draw the picture of a results file."""
    parser = argparse.ArgumentParser(description="Draw accuracy over file size from a results file.")
    parser.add_argument("results", type=Path, help="file that --results wrote")
    parser.add_argument("picture", type=Path, help="file to draw, such as docs/pruning.svg")
    arguments = parser.parse_args()
    try:
        document = json.loads(arguments.results.read_text())
        figure = draw(document["cases"], document["machine"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        parser.error(f"{arguments.results} is not a file that --results wrote: {error}")
    # Fixed ids and no date, so that drawing the same results twice gives the same file.
    with rc_context({"svg.hashsalt": "gnn-compression-bench"}):
        figure.savefig(arguments.picture, dpi=150, metadata={"Date": None})


if __name__ == "__main__":
    main()

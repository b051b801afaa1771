"""Records as one picture.

Run `python -m bench.report.picture RESULTS.json PICTURE.svg` on a file that --results wrote; --figure chooses what to
draw, and a folder in place of the picture is given one file per figure.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context

from bench.report.figures import FIGURES, Draw
from fixtures.record import Record, read_results
from gnn.errors import GnnError


def main() -> None:
    """Draw a figure of a results file, or all of them into a folder."""
    parser = argparse.ArgumentParser(description="Draw a results file.")
    parser.add_argument("results", type=Path, help="file that --results wrote")
    parser.add_argument("picture", type=Path, help="file to draw, such as docs/accuracy.svg, or a folder that exists")
    parser.add_argument("--figure", choices=tuple(FIGURES), help="what to draw: size (default), or all into a folder")
    parser.add_argument("--model", metavar="TASK.MODEL", help="draw this model only, such as cora-node.spline")
    arguments = parser.parse_args()
    folder = arguments.picture.is_dir()
    asked = [arguments.figure] if arguments.figure else (list(FIGURES) if folder else ["size"])
    try:
        results = read_results(arguments.results)
        records = _of_model(results.cases, arguments.model)
        for name in asked:
            picture = arguments.picture / f"{name}.svg" if folder else arguments.picture
            try:
                _save(FIGURES[name], records, results.machine, picture)
            except GnnError as error:
                if len(asked) == 1:
                    raise
                print(f"no {picture}: {error}", file=sys.stderr)
    except GnnError as error:
        parser.error(str(error))
    except (OSError, ValueError) as error:
        parser.error(f"{arguments.picture} cannot be drawn: {error}")


def _of_model(records: Sequence[Record], name: str | None) -> Sequence[Record]:
    # What is not finite is no place to draw a point at.
    found = [record for record in records if name in (None, record.case_model) and not record.not_finite]
    if name and not found:
        models = ", ".join(sorted({record.case_model for record in records}))
        raise GnnError(f"the results hold no case of {name!r}; they have: {models}")
    return found


def _save(draw: Draw, records: Sequence[Record], machine: Mapping[str, Any], picture: Path) -> None:
    figure = draw(records, machine)
    # Fixed ids and no date, so that drawing the same results twice gives the same file.
    with rc_context({"svg.hashsalt": "gnn-compression-bench"}):
        figure.savefig(picture, dpi=150, metadata={"Date": None})


if __name__ == "__main__":
    main()

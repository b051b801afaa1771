"""The tables of docs/runtime.md out of a run: scripts/explain-runtime RESULTS [--write] [--other-machine]."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.proofs.page import machine_line, write_section
from bench.report.runtime_tables import peaks_sentence, roofline_table, speed_table
from bench.report.scaling import scaling_table
from fixtures.record import read_document
from gnn.errors import GnnError, SettingError

PAGE = Path(__file__).parents[2] / "docs" / "runtime.md"


def sections_of(document: Mapping[str, Any]) -> dict[str, str]:
    """The text of every section; raises `SettingError` for results without any runtime in them."""
    found = document.get("runtime", ())
    if not found:
        raise SettingError(
            "the results have no runtime in them; run scripts/bench bench/test_runtime.py --results FILE first"
        )
    sections = {
        "runtime": f"{machine_line(document)}.\n\n{speed_table(found).markdown()}",
        "roofline": f"{peaks_sentence(found)}\n\n{roofline_table(found).markdown()}",
    }
    if document.get("scaling"):
        sections["scaling"] = scaling_table(document["scaling"]).markdown()
    return sections


def other_machine(document: Mapping[str, Any]) -> dict[str, str]:
    """The one section that a second machine has: what it can do, and our own rows, without peers."""
    sections_of(document)
    ours = [{**one, "rows": [row for row in one["rows"] if not row["peer"]]} for one in document["runtime"]]
    text = f"{machine_line(document)}. {peaks_sentence(ours)}\n\n{speed_table(ours).markdown()}"
    return {"other machine": text}


def main() -> None:
    """Print the sections, and write them into the page when asked."""
    parser = argparse.ArgumentParser(prog="scripts/explain-runtime", description=__doc__)
    parser.add_argument(
        "results",
        type=Path,
        nargs="?",
        default=Path("results.json"),
        help="what scripts/bench bench/test_runtime.py --results wrote (default: results.json)",
    )
    parser.add_argument("--write", action="store_true", help="put the tables into docs/runtime.md")
    parser.add_argument("--other-machine", action="store_true", help="the tables are of a second machine: one section")
    options = parser.parse_args()
    try:
        document, _ = read_document(options.results)
        sections = other_machine(document) if options.other_machine else sections_of(document)
        for name, text in sections.items():
            print(text)
            if options.write:
                write_section(name, text, PAGE)
    except GnnError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()

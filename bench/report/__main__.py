"""Turns results files into a page, into advice, or shards into the results of one run.

python -m bench.report RESULTS… -o FOLDER --paper-protocol RESULTS
python -m bench.report RESULTS… --advise --task bbbp --max-drop 0.01 --max-bytes 30k
python -m bench.report merge SHARD… -o FILE
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.report.advice import advise, limit
from bench.report.publishing import INSTALL, check_folder, publish
from bench.report.reading import read_paper_run, read_run
from fixtures import merging
from fixtures.record import Results, read_results
from gnn.atomic_file import write_atomically
from gnn.errors import GnnError

LIMITS = {"drop": "SHARE", "bytes": "BYTES", "latency": "TIME"}


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line asks for; the exit status is 0 for a green run, 1 for a red one, 2 for bad input."""
    words = sys.argv[1:] if words is None else words
    if words[:1] == ["merge"]:
        return merging.main(words[1:])
    parser = _parser()
    given = parser.parse_args(words)
    try:
        return _answer(given)
    except GnnError as error:
        print(error, file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.report", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULTS", help="what a run with --results wrote")
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("-o", dest="folder", type=Path, metavar="FOLDER", help="write the page and all its files there")
    asked.add_argument("--advise", action="store_true", help="say which compression to use within limits")
    parser.add_argument("--split", action="store_true", help="styles and scripts in files of their own")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the beginning of the page there too")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw what the run ends with in a terminal there")
    parser.add_argument(
        "--paper-protocol", type=Path, metavar="RESULTS", help="compare the paper with that run where it has other data"
    )
    parser.add_argument("--against", type=Path, metavar="OLD", help="compare with the results of another run")
    parser.add_argument("--history", type=Path, metavar="FOLDER", help="draw the runs whose results lie there")
    parser.add_argument("--significant", action="store_true", help="with --against: leave out what is within noise")
    parser.add_argument("--task", help="with --advise: of this task only, such as bbbp")
    parser.add_argument("--model", help="with --advise: of this model only, such as gin")
    for name, kind in LIMITS.items():
        parser.add_argument(f"--max-{name}", metavar=kind, help=f"with --advise: the largest {name} allowed")
    return parser


def _answer(given: argparse.Namespace) -> int:
    document, results = read_run(given.results)
    if given.advise:
        return _advise(given, results)
    check_folder(given.folder)
    # Drawing takes packages that advice does without.
    try:
        from bench.report.front import exit_status  # noqa: PLC0415
        from bench.report.history import history  # noqa: PLC0415
        from bench.report.moved import compare  # noqa: PLC0415
        from bench.report.page import files_of, markdown, page_of  # noqa: PLC0415
        from bench.report.terminal_picture import run_text, terminal_picture  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise GnnError(f"{error.name} is not installed; {INSTALL}") from error
    paper = given.paper_protocol and read_paper_run(given.paper_protocol, document)
    old = given.against and read_results(given.against)
    runs = given.history and history(given.history)
    page = page_of(
        results,
        paper=paper and paper[1],
        compared=[
            *([compare(old, results, significant_only=given.significant)] if old else []),
            *([runs.table] if runs else []),
        ],
        history=[runs.figure()] if runs else [],
    )
    publish(files_of(page, document, paper=paper and paper[0], split=given.split), given.folder)
    if given.markdown:
        text = markdown(page, os.path.relpath(given.folder, given.markdown.parent))
        write_atomically(given.markdown, text.encode())
    if given.picture:
        write_atomically(given.picture, terminal_picture(run_text(results)).encode())
    print(f"{given.folder / 'index.html'}: {page.front.verdict}")
    return exit_status(results)


def _advise(given: argparse.Namespace, results: Results) -> int:
    limits = {name: getattr(given, f"max_{name}") for name in LIMITS}
    drop, size, latency = (text and limit(name, text) for name, text in limits.items())
    found = advise(results, given.task, given.model, max_drop=drop, max_bytes=size, max_latency_s=latency)
    print(found.text())
    return 0 if found.fitting else 1


if __name__ == "__main__":
    sys.exit(main())

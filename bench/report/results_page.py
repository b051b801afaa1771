"""Records as a page of results.

Run `python -m bench.report.results_page RESULTS.json PAGE.md` on a file that --results wrote. Every number of the page
comes from that file, but for what the paper reports.
"""

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.report.columns import Record
from bench.report.sections import compression_section, integers_section, models_section
from gnn.atomic_file import write_atomically
from gnn.errors import GnnError

NEEDED = ("schema", "machine", "versions", "protocol", "profile", "data", "cases")
INTRODUCTION = "`python -m bench.report.results_page` wrote this page from a results file; change nothing by hand."


def results_page(document: Mapping[str, Any]) -> str:
    """The page as Markdown: which run it was, and the tables that have rows.

    Args:
        document: What --results wrote.

    Returns:
        The text of the page. A cell is a dash where its case was not run, or a number of it is not finite.

    Raises:
        GnnError: The document is no results file, or holds no case.
    """
    check(document)
    by_id = {record["id"]: record for record in document["cases"] if not record.get("not_finite")}
    sections = (models_section(by_id), compression_section(by_id), integers_section(by_id))
    run = "\n".join(f"- {line}" for line in _run(document))
    return "\n\n".join(part for part in ("# Results", INTRODUCTION, run, *sections) if part) + "\n"


def check(document: Any) -> None:  # noqa: ANN401
    """Raise `GnnError` when a document is none that --results wrote, or nothing was measured."""
    missing = [name for name in NEEDED if not isinstance(document, dict) or name not in document]
    if missing:
        raise GnnError(f"it lacks {', '.join(missing)}; give one that scripts/bench --results FILE wrote")
    if not isinstance(document["cases"], list) or not document["cases"]:
        raise GnnError("it holds no case; run the suite with a -k that selects some")


def _run(document: Mapping[str, Any]) -> list[str]:
    """Which run it was, a line for each thing a reader must know."""
    cases = document["cases"]
    date = [f"Date: {document['date']}."] if document.get("date") else []
    versions = ", ".join(f"{package} {version}" for package, version in document["versions"].items())
    statuses = Counter(record["gate"]["status"] for record in cases)
    gate = ", ".join(f"{number} {status}" for status, number in sorted(statuses.items()))
    return [
        *date,
        f"Machine: {_machine(document['machine'])}.",
        f"Versions: {versions}.",
        f"Protocol `{document['protocol']}`, profile `{document['profile']}`, {_seeds(cases)} per case.",
        f"Data: {_data(document['data'])}.",
        f"{_counts(cases)}. Gate: {gate}{_broken(document)}.",
        *_duration(document),
    ]


def _machine(machine: Mapping[str, Any]) -> str:
    gpu = machine.get("gpu")
    facts = [
        f"{machine.get('cpu', 'an unknown processor')} ({machine.get('instruction_set', 'unknown instructions')})",
        f"cores: {machine.get('cores', '?')}, threads: {machine.get('threads', '?')}",
        f"GPU: {gpu}" if gpu else "no GPU used",
        f"{machine.get('system', '')} {machine.get('kernel_release', '')}".strip(),
    ]
    name = machine.get("class")
    return "; ".join(fact for fact in facts if fact) + (f"; class `{name}`" if name else "")


def _seeds(cases: Sequence[Record]) -> str:
    numbers = sorted({len(record["seeds"]) for record in cases})
    return f"{' or '.join(map(str, numbers))} {'seed' if numbers == [1] else 'seeds'}"


def _data(data: Mapping[str, Any]) -> str:
    planted = [name for name, facts in data.items() if facts["source"] == "planted"]
    kinds = ", ".join(f"{name} ({facts['source']})" for name, facts in data.items())
    return kinds + ("; planted data is made up, and no number of the paper belongs to it" if planted else "")


def _counts(cases: Sequence[Record]) -> str:
    """How much was measured; dense models are a method of the suite, but compress nothing."""
    methods = {record["method"] for record in cases} - {"dense"}
    models, tasks = ({record[field] for record in cases} for field in ("model", "task"))
    return f"Cases: {len(cases)}; compression methods: {len(methods)}; models: {len(models)}; tasks: {len(tasks)}"


def _broken(document: Mapping[str, Any]) -> str:
    broken = document.get("broken") or []
    return f"; tests that broke and are not on this page: {len(broken)}" if broken else ""


def _duration(document: Mapping[str, Any]) -> list[str]:
    wall, measuring = document.get("wall_s"), document.get("measuring_s")
    if not wall or measuring is None:
        return []
    return [
        f"The run took {wall / 60:.1f} minutes, {measuring / wall:.0%} of them to measure; training that was in the "
        "cache is not in that."
    ]


def main() -> None:
    """Write the page of a results file."""
    parser = argparse.ArgumentParser(description="Turn a results file into a page of results.")
    parser.add_argument("results", type=Path, help="file that --results wrote")
    parser.add_argument("page", type=Path, help="page to write, such as docs/results.md")
    arguments = parser.parse_args()
    try:
        write_atomically(arguments.page, results_page(json.loads(arguments.results.read_text())).encode())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        parser.error(f"{arguments.results} is not a results file: {_reason(error)}")


def _reason(error: Exception) -> str:
    return f"{error} is missing in it" if isinstance(error, KeyError) else str(error)


if __name__ == "__main__":
    main()

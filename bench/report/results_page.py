"""Records as a page of results.

Run `python -m bench.report.results_page RESULTS.json PAGE.md` on a file that --results wrote. Every number of the page
comes from that file, but for what the paper reports.
"""

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.report.sections import compression_section, integers_section, models_section
from fixtures.record import Data, Record, Results, read_results
from gnn.atomic_file import write_atomically
from gnn.errors import GnnError

INTRODUCTION = "`python -m bench.report.results_page` wrote this page from a results file; change nothing by hand."


def results_page(results: Results) -> str:
    """The page as Markdown: which run it was, and the tables that have rows.

    Args:
        results: What --results wrote.

    Returns:
        The text of the page. A cell is a dash where its case was not run, or a number of it is not finite.

    Raises:
        GnnError: The results hold no case.
    """
    if not results.cases:
        raise GnnError("the results hold no case; run the suite with a -k that selects some")
    by_id = {record.id: record for record in results.cases if not record.not_finite}
    sections = (models_section(by_id), compression_section(by_id), integers_section(by_id))
    run = "\n".join(f"- {line}" for line in _run(results))
    return "\n\n".join(part for part in ("# Results", INTRODUCTION, run, *sections) if part) + "\n"


def _run(results: Results) -> list[str]:
    """Which run it was, a line for each thing a reader must know."""
    cases = results.cases
    date = [f"Date: {results.date}."] if results.date else []
    versions = ", ".join(f"{package} {version}" for package, version in results.versions.items())
    statuses = Counter(record.gate.status for record in cases)
    gate = ", ".join(f"{number} {status}" for status, number in sorted(statuses.items()))
    return [
        *date,
        f"Machine: {_machine(results.machine)}.",
        f"Versions: {versions}.",
        f"Protocol `{results.protocol}`, profile `{results.profile}`, {_seeds(cases)} per case.",
        f"Data: {_data(results.data)}.",
        f"{_counts(cases)}. Gate: {gate}{_broken(results)}.",
        *_duration(results),
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
    numbers = sorted({len(record.seeds) for record in cases})
    return f"{' or '.join(map(str, numbers))} {'seed' if numbers == [1] else 'seeds'}"


def _data(data: Mapping[str, Data]) -> str:
    planted = [name for name, facts in data.items() if facts.source == "planted"]
    kinds = ", ".join(f"{name} ({facts.source})" for name, facts in data.items())
    return kinds + ("; planted data is made up, and no number of the paper belongs to it" if planted else "")


def _counts(cases: Sequence[Record]) -> str:
    """How much was measured; dense models are a method of the suite, but compress nothing."""
    methods = {record.method for record in cases} - {"dense"}
    models, tasks = ({getattr(record, field) for record in cases} for field in ("model", "task"))
    return f"Cases: {len(cases)}; compression methods: {len(methods)}; models: {len(models)}; tasks: {len(tasks)}"


def _broken(results: Results) -> str:
    broken = len(results.broken)
    return f"; tests that broke and are not on this page: {broken}" if broken else ""


def _duration(results: Results) -> list[str]:
    wall, measuring = results.wall_s, results.measuring_s
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
        write_atomically(arguments.page, results_page(read_results(arguments.results)).encode())
    except (OSError, GnnError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()

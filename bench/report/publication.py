"""What a run says of the paper's numbers and of practice, and the commands that made all of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.report.claims import Judged, claims_table, judged_claims, shown
from bench.report.comparison import compare
from bench.report.practice import CLAIMS
from bench.report.reproduction import every_value_table, reasons_table, verdicts_table
from bench.report.table import Table
from fixtures.record import Results

# The run's own file, and that of the run under the paper's protocol, in the commands.
RESULTS, PAPER_RESULTS = "results.json", "paper.json"
# What a page has beside it: the same, from which it is made again.
RECORDS, PAPER_RECORDS = "records.json", "records-paper.json"
REPORT = ".venv/bin/python -m bench.report"
# The paper's protocol changes nothing for Cora's nodes. For BBBP, which takes most of the time, a few test molecules
# stand among those to train on too; its dense models tell what that changes. Of other methods the paper has no number.
WHERE_PROTOCOLS_DIFFER = (
    "not cora-node and (dense or not bbbp) and (dense or global or grained or l2 or qat or degree or a2q) "
    "and not (hybrid or lottery or speed or stored)"
)


@dataclass(frozen=True)
class Publication:
    """The findings that are told first, tables of claims, verdicts and reasons, every value, files and commands."""

    found: Sequence[Judged]
    claims: Table
    verdicts: Table
    reasons: Table
    every_value: Table
    records: Sequence[str]
    commands: Sequence[str]


def publication(results: Results, paper: Results | None = None) -> Publication:
    """Say what a run, and one under the paper's protocol where there is one, says of the paper and of practice."""
    comparisons, judged = compare(results, paper), judged_claims(CLAIMS, results, paper)
    return Publication(
        shown(judged),
        claims_table(judged),
        verdicts_table(comparisons),
        reasons_table(comparisons),
        every_value_table(comparisons),
        (RECORDS,) if paper is None else (RECORDS, PAPER_RECORDS),
        [*commands(results, paper)],
    )


def commands(results: Results, paper: Results | None = None) -> Iterator[str]:
    """The commands that made a results file, and the page of it."""
    yield from _of_run(results, RESULTS)
    if paper is not None:
        yield from _of_run(paper, PAPER_RESULTS)
    beside = f" --paper-protocol {PAPER_RESULTS}" if paper is not None else ""
    yield f"{REPORT} {RESULTS}{beside} -o docs/results --markdown docs/results.md --picture docs/table.svg"


def _of_run(results: Results, file: str) -> Iterator[str]:
    options = f"--profile {results.profile}" + (f" --seeds {results.seeds}" if results.seeds else "")
    if results.protocol != "clean":
        options += f' --protocol {results.protocol} -k "{WHERE_PROTOCOLS_DIFFER}"'
    is_planted = {data.source == "planted" for data in results.data.values()}
    if len(is_planted) == 1:
        options += " --data planted" if is_planted.pop() else " --data real"
    if results.gate not in ("", "enforce"):
        options += f" --gate {results.gate}"
    some = f"   # {len(results.cases)} of {results.profile_cases} cases" if _is_part(results) else ""
    if not results.shards:
        yield f"scripts/bench {options} --results {file}{some}"
        return
    stem, names = file.removesuffix(".json"), []
    for part in results.shards:
        if part["number"] is None:
            which, commit = " ".join(f"--case {case}" for case in part["cases"]), f"   # with {part['commit']['sha']}"
            yield f"scripts/bench {options} {which} --results {stem}-again.json{commit}"
            names.append(f"--again {stem}-again.json")
        else:
            names.append(f"{stem}-{part['number']}.json")
            yield f"scripts/bench {options} --shard {part['number']}/{part['of']} --results {names[-1]}"
    yield f"{REPORT} merge {' '.join(names)} -o {file}{some}"


def _is_part(results: Results) -> bool:
    """Whether a run had another selection than its profile, of which nothing is recorded but its number of cases."""
    return results.profile_cases is not None and len(results.cases) < results.profile_cases

"""What is said of all values of the paper together, and what a publication of a run holds."""

import csv
import io
import re
from pathlib import Path

import pytest

from bench.report.comparison import compare
from bench.report.paper_tables import compared_tables
from bench.report.publication import WHERE_PROTOCOLS_DIFFER, commands, publication
from bench.report.reading import read_paper_run
from bench.report.reported import read_all_reported
from bench.report.reproduction import VERDICTS, counted, every_value_table, is_result, reasons_table, verdicts_table
from fixtures.record import Results
from gnn.errors import GnnError
from tests.bench.made_up_records import made_up_record, made_up_results
from tests.bench.test_comparison import scored
from tests.bench.test_page import written

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "paper" / "reported.csv"
ROW = "proteins.hgpsl.dense"
CLEAN = made_up_results(scored(ROW, 0.72), scored("proteins.hgpsl.global.s0.8.ft", 0.72))
PAPER = made_up_results(scored(ROW, 0.83, protocol="paper"), protocol="paper")


def test_the_paper_s_values_are_counted_and_the_documents_have_these_counts() -> None:
    entries = read_all_reported()
    sentence = counted(compare(CLEAN))
    numbers = re.findall(r"[\d,]+(?= (?:values|results|others|counts|epochs|numbers|extremes))", sentence)
    assert numbers == ["1,536", "1,432", "104", "20", "7", "5", "72"]
    assert (len(entries), sum(map(is_result, entries))) == (1536, 1432)
    text = (ROOT / "docs" / "reproduction.md").read_text()
    assert [number for number in numbers if number not in text] == []


@pytest.mark.skipif(not SHARED.exists(), reason="the paper's tables as rows are not beside this repository")
def test_what_counts_as_a_result_is_what_the_paper_s_tables_have_as_rows() -> None:
    with SHARED.open(newline="") as file:
        tables = [row["table"] for row in csv.DictReader(file)]
    ours = [entry.table for entry in read_all_reported() if is_result(entry)]
    assert {table: tables.count(table) for table in tables} == {table: ours.count(table) for table in ours}


def test_every_value_has_one_verdict_and_each_table_counts_its_own() -> None:
    comparisons = compare(CLEAN, PAPER)
    counts, reasons, values = (make(comparisons) for make in (verdicts_table, reasons_table, every_value_table))
    assert {comparison.verdict for comparison in comparisons} <= set(VERDICTS)
    for row in counts.rows:
        assert sum(int(cell or 0) for cell in row[2:]) == row[1]
    *tables, whole = ([int(cell or 0) for cell in row[1:]] for row in counts.rows)
    assert [sum(column) for column in zip(*tables, strict=True)] == whole
    explained: dict[str, int] = dict.fromkeys(VERDICTS, 0)
    for verdict, reason, count, _ in reasons.rows:
        assert reason
        explained[str(verdict)] += int(count or 0)
    unexplained = ("reproduced", "undecided")
    assert [explained[v] for v in VERDICTS if v not in unexplained] == [
        count for verdict, count in zip(VERDICTS, whole[1:], strict=True) if verdict not in unexplained
    ]
    rows = list(csv.DictReader(io.StringIO(values.csv())))
    assert len(rows) == len(comparisons)
    (found,) = [row for row in rows if (row["table"], row["row"]) == ("4", ROW)]
    assert (found["protocol"], found["seeds"], found["verdict"]) == ("paper", "4", "reproduced")


def test_both_protocols_stand_in_a_table_and_notes_count_the_paper_s() -> None:
    (table,) = [table for table in compared_tables(CLEAN, PAPER) if table.key == "table-4"]
    shown = {str(row[0]): table.shown(row) for row in table.rows}
    assert shown[f"{ROW}, paper"][2].startswith("0.830")
    assert shown[f"{ROW}, clean"][2].startswith("0.720")
    assert next(note for note in table.notes if note.startswith("accuracy: ")).count("1 reproduced") == 1
    alone = {str(row[0]) for table in compared_tables(CLEAN) for row in table.rows}
    assert ROW in alone
    assert not any(name.endswith((", paper", ", clean")) for name in alone)


def test_a_run_under_the_paper_s_protocol_is_of_the_same_code_and_the_other_protocol(tmp_path: Path) -> None:
    clean = {"protocol": "clean", "profile": "ci", "code_sha256": "c", "versions": {}, "seeds": None}
    other_machine = {**PAPER.machine, "class": "other"}
    good = made_up_results(*PAPER.cases, protocol="paper", code_sha256="c", machine=other_machine)
    assert read_paper_run(written(tmp_path, good), clean)[1].protocol == "paper"
    refused = (
        (made_up_results(*PAPER.cases, protocol="paper", code_sha256="d"), "fingerprint of the code is c in the clean"),
        (made_up_results(*PAPER.cases, code_sha256="c"), "found is clean, asked is paper"),
    )
    for results, sentence in refused:
        with pytest.raises(GnnError, match=sentence):
            read_paper_run(written(tmp_path, results), clean)


def shards(results: Results, count: int) -> Results:
    parts = [{"number": number, "of": count, "machine": {}, "cases": []} for number in range(1, count + 1)]
    return made_up_results(*results.cases, profile="paper", protocol=results.protocol, gate="strict", shards=parts)


def test_a_publication_names_the_commands_that_made_it() -> None:
    report = ".venv/bin/python -m bench.report"
    ending = "-o docs/results --markdown docs/results.md --picture docs/table.svg"
    assert publication(made_up_results(made_up_record(ROW), seeds=2, profile_cases=9)).commands == [
        "scripts/bench --profile ci --seeds 2 --data real --results results.json   # 1 of 9 cases",
        f"{report} results.json {ending}",
    ]
    options = "--profile paper --data real --gate strict"
    assert [*commands(shards(CLEAN, 2), PAPER)] == [
        f"scripts/bench {options} --shard 1/2 --results results-1.json",
        f"scripts/bench {options} --shard 2/2 --results results-2.json",
        f"{report} merge results-1.json results-2.json -o results.json",
        f'scripts/bench --profile ci --protocol paper -k "{WHERE_PROTOCOLS_DIFFER}" --data real --results paper.json',
        f"{report} results.json --paper-protocol paper.json {ending}",
    ]
    again = {"number": None, "machine": {}, "cases": [ROW], "commit": {"sha": "f00"}, "failed_before": {}}
    whole = shards(CLEAN, 1)
    whole.shards.append(again)
    assert [*commands(whole)][1:3] == [
        f"scripts/bench {options} --case {ROW} --results results-again.json   # with f00",
        f"{report} merge results-1.json --again results-again.json -o results.json",
    ]


@pytest.mark.parametrize(
    ("sources", "option"),
    [(["root", "cache"], " --data real"), (["planted"], " --data planted"), (["root", "planted"], "")],
)
def test_a_command_names_the_data_where_it_is_all_of_one_kind(sources: list[str], option: str) -> None:
    data = {f"task-{place}": {"source": source} for place, source in enumerate(sources)}
    first, _ = commands(made_up_results(made_up_record(ROW), data=data))
    assert first == f"scripts/bench --profile ci{option} --results results.json"

"""The verdict on lottery tickets, from records made by hand."""

import pytest

from bench.report.lottery import CLAIM, CRITERIA, HEADERS, tickets_table
from bench.report.table import Table
from fixtures.record import Record
from tests.bench.made_up_records import made_up_record

DENSE = [0.90, 0.88, 0.91, 0.89]


def record(
    start: str, accuracies: list[float], model: str = "spline", sparsity: float = 0.8, **changes: object
) -> Record:
    count, drops = len(accuracies), [a - b for a, b in zip(DENSE, accuracies, strict=False)]
    given = {
        "settings": {"sparsity": sparsity, "start": start, "fine_tune": False},
        "seeds": list(range(count)),
        "accuracy": {"values": accuracies, "mean": sum(accuracies) / count},
        "accuracy_drop": {"values": drops},
        "truncated": [False] * count,
        **changes,
    }
    return made_up_record(f"cora-node.{model}.lottery-ticket.s{sparsity:g}.{start}", **given)


def shifted(by: float, spread: float = 0.001) -> list[float]:
    """Accuracies whose differences from the dense ones have this mean."""
    return [dense + by + spread * sign for dense, sign in zip(DENSE, (1, -1, 1, -1), strict=True)]


def tickets(*records: Record) -> Table:
    table = tickets_table(records)
    assert table is not None
    return table


def rows(*records: Record) -> list[dict[str, str]]:
    """What is shown in the table's rows by their headers."""
    table = tickets(*records)
    return [dict(zip(HEADERS, table.shown(row), strict=True)) for row in table.rows]


def row(*records: Record, ticket: str = "init") -> dict[str, str]:
    (found,) = [row for row in rows(*records) if row["ticket"] == ticket]
    return found


def test_a_ticket_as_good_as_dense_that_beats_random_weights_wins() -> None:
    found = row(record("init", shifted(0.0)), record("random", shifted(-0.03)), record("one-shot", shifted(-0.01)))
    assert found == {
        "model": "cora-node.spline",
        "sparsity": "0.8",
        "ticket": "init",
        "accuracy": "0.895 ± 0.012",
        "ticket - dense": "+0.000 [-0.002, +0.002]",
        "as good as dense": "yes",
        "ticket - random": "+0.030 [+0.030, +0.030]",
        "beats random": "yes",
        "ticket - one-shot": "+0.010 [+0.010, +0.010]",
        "winning ticket": "yes",
    }


@pytest.mark.parametrize(
    ("by", "spread", "answer"),
    [
        (-0.005, 0.001, "yes"),
        (0.02, 0.001, "yes"),
        (-0.0119, 0.001, "no"),
        (-0.03, 0.001, "no"),
        (-0.01, 0.001, "undecided (0.004 wide)"),
        (-0.005, 0.01, "undecided (0.037 wide)"),
    ],
)
def test_as_good_as_dense_means_at_most_a_hundredth_worse(by: float, spread: float, answer: str) -> None:
    found = row(record("init", shifted(by, spread)), record("random", shifted(by - 0.05, spread)))
    assert (found["as good as dense"], found["beats random"]) == (answer, "yes")
    assert found["winning ticket"] == answer.split(" ", maxsplit=1)[0]


@pytest.mark.parametrize(
    ("random", "answer"),
    [
        (shifted(-0.02), "yes"),
        (shifted(0.02), "no"),
        (shifted(0.0), "no"),
        (shifted(-0.001, 0.02), "undecided (0.070 wide)"),
    ],
)
def test_random_weights_are_beaten_when_the_whole_interval_is_above_zero(random: list[float], answer: str) -> None:
    found = row(record("init", shifted(0.0)), record("random", random))
    assert (found["as good as dense"], found["beats random"]) == ("yes", answer)
    assert found["winning ticket"] == answer.split(" ", maxsplit=1)[0]


def test_values_are_paired_by_seed_and_those_without_a_partner_are_left_out() -> None:
    random = record("random", [0.5, *reversed(shifted(-0.03))], seeds=[9, 3, 2, 1, 0])
    found = row(record("init", shifted(0.0)), random)
    assert found["ticket - random"] == "+0.030 [+0.030, +0.030]"


def test_without_a_common_seed_there_is_nothing_to_compare() -> None:
    found = row(record("init", shifted(0.0)), record("random", shifted(0.0), seeds=[5, 6, 7, 8]))
    assert (found["ticket - random"], found["beats random"]) == ("not run", "not run")


def test_what_was_not_run_is_said_and_decides_nothing() -> None:
    table = rows(record("init", shifted(0.0)), record("one-shot", shifted(0.0)))
    assert [(found["ticket"], found["as good as dense"], found["beats random"]) for found in table] == [
        ("init", "yes", "not run"),
        ("early", "not run", "not run"),
    ]
    assert [found["winning ticket"] for found in table] == ["not run", "not run"]
    assert [found["accuracy"] for found in table] == ["0.895 ± 0.012", "not run"]


def test_a_ticket_that_is_worse_than_dense_cannot_win_whatever_was_not_run() -> None:
    assert row(record("init", shifted(-0.1)))["winning ticket"] == "no"


def test_one_seed_decides_nothing() -> None:
    found = row(record("init", [0.95]), record("random", [0.5]))
    assert found["ticket - dense"] == "+0.050"
    assert found["as good as dense"] == found["beats random"] == "undecided (one seed)"
    assert found["winning ticket"] == "undecided"


def test_early_tickets_are_judged_by_the_same_controls() -> None:
    controls = (record("random", shifted(-0.03)), record("one-shot", shifted(-0.02)))
    found = row(record("init", shifted(-0.02)), record("early", shifted(0.0)), *controls, ticket="early")
    assert (found["ticket - random"], found["ticket - one-shot"]) == (
        "+0.030 [+0.030, +0.030]",
        "+0.020 [+0.020, +0.020]",
    )
    assert found["winning ticket"] == "yes"


def test_models_and_sparsities_are_kept_apart_and_in_order() -> None:
    records = [
        record("init", shifted(0.0), "spline", 0.9),
        record("init", shifted(0.0), "spline", 0.5),
        record("random", shifted(-0.03), "gcn", 0.9),
    ]
    assert [(found["model"], found["sparsity"]) for found in rows(*records)[::2]] == [
        ("cora-node.gcn", "0.9"),
        ("cora-node.spline", "0.5"),
        ("cora-node.spline", "0.9"),
    ]


def test_the_claim_of_the_paper_stands_beside_what_the_data_say() -> None:
    records = [
        *(record("init", shifted(0.0)), record("early", shifted(-0.1)), record("random", shifted(-0.03))),
        *(record("init", shifted(0.0), "gcn"), record("random", shifted(0.0, 0.02), "gcn")),
    ]
    table = tickets(*records)
    assert CRITERIA in table.notes
    assert table.notes[:2] == [
        CLAIM,
        "The data: a winning ticket exists for cora-node.spline 0.8 init; none exists for cora-node.spline 0.8 early; "
        "the seeds do not decide cora-node.gcn 0.8 init; not run: cora-node.gcn 0.8 early.",
    ]


def test_trainings_that_might_have_gone_on_are_named() -> None:
    late = record("random", shifted(-0.03), truncated=[False, True, False, True])
    text = tickets(record("init", shifted(0.0)), late).text().replace("\n  ", " ")
    assert f"Training was cut short by its budget in: {late.id} (seed 1), {late.id} (seed 3)." in text
    assert "cut short" not in tickets(record("init", shifted(0.0))).text()


def test_there_is_no_verdict_without_tickets() -> None:
    assert tickets_table([]) is tickets_table([record("init", shifted(0.0), method="global")]) is None

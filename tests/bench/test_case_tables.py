"""Tables of all cases of a run, and what their numbers say together, from records made by hand."""

import pytest

from bench.report.case_tables import all_cases_table, dense_models_table
from fixtures.record import Record, Scores
from tests.bench.made_up_records import made_up_record, made_up_results

TUNED = "a-task.a-model.global.s0.8.ft"


def drop(mean: float, low: float, high: float) -> dict[str, object]:
    return {"mean": mean, "ci95": [low, high]}


def classes(share: float) -> dict[str, Scores]:
    return {"majority_class": Scores([share] * 4, share, 0.01)}


def agreement(same: float, identical: float) -> dict[str, float]:
    return {"classes": same, "identical": identical, "largest_difference": 1e-3, "largest_logit": 2.0}


def notes(*records: Record) -> str:
    return "\n".join(all_cases_table(made_up_results(*records)).notes)


def test_a_case_has_a_row_with_the_command_that_reproduces_it() -> None:
    table = all_cases_table(made_up_results(made_up_record(TUNED, accuracy_drop=drop(0.02, 0.01, 0.03))))
    assert dict(zip(table.headers, table.shown(table.rows[0]), strict=True)) == {
        "case": TUNED,
        "seeds": "4",
        "accuracy": "0.883 ± 0.012",
        "drop": "+0.020 [+0.010, +0.030]",
        "bytes": "1,250 (4.0x)",
        "inference ms": "0.25",
        "speed-up": "1.50",
        "energy J": "0.00366 (estimate)",
        "training energy J": "1,234 (rapl)",
        "memory MB": "612",
        "gate": "pass",
        "command": f"scripts/bench --profile ci --case {TUNED} --seeds 4",
    }


def test_a_case_with_values_that_are_not_finite_is_named_and_has_no_row() -> None:
    table = all_cases_table(made_up_results(made_up_record(TUNED, not_finite={"sparsity": "NaN"})))
    assert (table.rows, table.notes[1]) == ([], f"left out, for values that are not finite: {TUNED}")


@pytest.mark.parametrize(
    ("records", "said"),
    [
        (
            [made_up_record(TUNED, accuracy_drop=drop(0.02, 0.01, 0.03))],
            f"1 of 1 pruned and fine-tuned models are less accurate than the dense one ({TUNED}) and 0 more (none)",
        ),
        (
            [made_up_record(f"a.b.global.s0.{i}", speedup={"compression": ratio}) for i, ratio in ((1, 1.0), (2, 3.0))],
            "pruning single weights: 2.00 times as fast as dense in the median (1.00 to 3.00; timed cases: 2)",
        ),
        (
            [made_up_record("a.b.structured.s0.8", speedup={"compression": 2.5})],
            "removing channels: 2.50 times as fast as dense in the median (2.50; timed cases: 1)",
        ),
        (
            [made_up_record("a.b.dense", size_ratio=0.9), made_up_record("a.b.dense.stored-int8", size_ratio=0.3)],
            "stored in fewer bits than FP32: INT8 3.0 times smaller, accuracy +0.000 (cases: 1)",
        ),
        (
            [made_up_record(f"a.b.a2q.x{same}", integer_agreement=agreement(same, 0.5)) for same in (1.0, 0.9)],
            "1 of 2 models on integers give every test input the class of their simulation; 50.0% of the logits",
        ),
        (
            [made_up_record("a.b.dense", collapsed=True), made_up_record("a.c.dense", collapsed=None)],
            "1 of 1 graph classifiers are no better than always giving the most frequent class: a.b.dense",
        ),
    ],
)
def test_what_the_cases_say_together_is_computed_from_them(records: list[Record], said: str) -> None:
    assert said in notes(*records)
    assert said not in notes(made_up_record("a.b.dense", collapsed=None))


def test_dense_models_say_what_the_paper_reports_below_the_class_alone_and_what_scaffolds_cost() -> None:
    table = dense_models_table(
        made_up_results(
            made_up_record("bbbp.gin.dense", other_scores=classes(0.76)),
            made_up_record("bbbp.gnnnet.dense", other_scores=classes(0.76), accuracy={"mean": 0.85}),
            made_up_record("bbbp-scaffold.gnnnet.dense", other_scores=classes(0.6), accuracy={"mean": 0.61}),
            made_up_record("bbbp.gin.dense.stored-int8", settings={"precision": "int8", "fine_tune": False}),
        )
    )
    assert table is not None
    assert [row[0] for row in table.rows] == ["bbbp.gin.dense", "bbbp.gnnnet.dense", "bbbp-scaffold.gnnnet.dense"]
    below, scaffold, runtime = table.notes
    assert below.startswith("1 of 2 graph classifiers")
    assert "bbbp.gin.dense (0.75, the class alone 0.760)" in below
    assert "gnnnet has 0.610, with random splits 0.850" in scaffold
    assert "20.0 times as fast as plain eager PyTorch (3 of 3" in runtime


def test_without_a_dense_model_there_is_no_table_of_them() -> None:
    assert dense_models_table(made_up_results(made_up_record(TUNED))) is None

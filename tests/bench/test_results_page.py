"""The page of results, from records made by hand."""

import runpy
import sys
from pathlib import Path

import msgspec
import pytest

from bench.report.results_page import main, results_page
from fixtures.record import Record, Scores, read_results
from tests.bench.made_up_records import made_up_record, made_up_results

AGREEMENT = {"classes": 1.0, "identical": 0.97, "largest_difference": 1e-3, "largest_logit": 2.0}
WRONG = msgspec.json.encode(made_up_results(made_up_record("a.b.dense"))).replace(b'"mean":0.8834', b'"mean":"high"')


def record(case_id: str, mean: float = 0.9, std: float | None = 0.01, **changes: object) -> Record:
    return made_up_record(case_id, accuracy={"mean": mean, "std": std}, **changes)


def drop(mean: float, low: float, high: float) -> dict[str, object]:
    return {"mean": mean, "ci95": [low, high]}


def cells(page: str, row: str) -> list[str]:
    (line,) = [line for line in page.splitlines() if line.startswith(f"| {row} ")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def bullets(page: str, word: str) -> list[str]:
    return [line.removeprefix("- ") for line in page.splitlines() if line.startswith("- ") and word in line]


def test_the_page_says_which_run_it_is_of_and_counts_what_it_holds() -> None:
    failed = record("bbbp.gin.global.s0.9", gate={"status": "fail"}, seeds=[0])
    page = results_page(made_up_results(record("bbbp.gin.dense"), failed, broken=[{"test": "a test", "when": "setup"}]))
    for text in (
        "a processor (AVX9)",
        "cores: 2, threads: 1",
        "`a-class`",
        "python 3.99, torch 9.8",
        "`clean`",
        "`ci`",
    ):
        assert text in page
    assert "1 or 4 seeds per case" in page
    assert "Cases: 2; compression methods: 1; models: 1; tasks: 1. Gate: 1 fail, 1 pass; tests that broke" in page
    assert "10.0 minutes, 25% of them" in page
    assert "Date" not in page
    assert "- Date: 2099-01-01." in results_page(made_up_results(failed, date="2099-01-01"))


def test_planted_data_is_called_so() -> None:
    planted = made_up_results(record("planted-bbbp.gin.dense"), data={"planted-bbbp": {"source": "planted"}})
    assert "planted data is made up" in results_page(planted)
    assert "planted data is made up" not in results_page(made_up_results(record("bbbp.gin.dense")))


def test_a_dense_model_stands_beside_what_the_paper_reports_of_it() -> None:
    latency = {"compressed": 0.00029}
    page = results_page(
        made_up_results(record("cora-node.spline.dense", 0.893, 0.008, latency_s=latency, training_s=0.9))
    )
    expected = ["cora-node.spline", "0.893 ± 0.008", "0.872 ± 0.008", "0.9", "0.29 (20.0x)", "4"]
    assert cells(page, "cora-node.spline") == expected
    assert "1 of 1 accuracies differ" in page
    assert "higher here: `cora-node.spline.dense`; lower here: none" in page
    assert "20.0 times as fast as plain eager PyTorch (1 of 1 models have one)" in page


def test_one_seed_does_not_tell_whether_an_accuracy_differs() -> None:
    assert "accuracies differ" not in results_page(made_up_results(record("cora-node.spline.dense", 0.2, None)))


def test_what_was_not_timed_or_not_reported_is_a_dash() -> None:
    untimed = {"runtime": None, "compression": None}
    page = results_page(
        made_up_results(record("a-task.a-model.dense", latency_s={"compressed": None}, speedup=untimed))
    )
    assert cells(page, "a-task.a-model") == ["a-task.a-model", "0.900 ± 0.010", "-", "12.3", "-", "-"]
    assert "eager PyTorch" not in page


def test_models_stand_in_the_order_of_the_paper_and_fine_tuned_ones_are_not_among_them() -> None:
    names = ("zzz.a.dense", "bbbp.gnnnet.dense", "cora-node.spline.dense", "cora-node.spline.dense.ft")
    page = results_page(made_up_results(*map(record, names)))
    rows = [line.split()[1] for line in page.splitlines() if line.startswith("| ") and "case" not in line]
    assert rows == ["cora-node.spline", "bbbp.gnnnet", "zzz.a"]


def test_models_that_the_paper_reports_no_better_than_the_most_frequent_class_are_named() -> None:
    share = {"majority_class": Scores([], 0.6, None)}
    low, high = (record(f"proteins.{name}.dense", other_scores=share) for name in ("gcn-readout", "gin"))
    page = results_page(made_up_results(low, high))
    assert "1 of 2 graph classifiers are reported no better" in page
    assert "`proteins.gcn-readout.dense` (0.560, the class alone 0.600)." in page


def test_the_two_splits_of_one_model_are_compared() -> None:
    apart, together = record("bbbp-scaffold.gnnnet.dense", 0.612), record("bbbp.gnnnet.dense", 0.849)
    assert "gnnnet is 0.612; with random splits it is 0.849" in results_page(made_up_results(apart, together))
    assert "scaffold stay together" not in results_page(made_up_results(apart))


def test_a_pruned_model_has_a_row_for_each_sparsity_and_dashes_for_what_was_not_run() -> None:
    cases = ["dense", "global.s0.9.ft", "structured.s0.5.ft", "global.s0.9.stored-int8.ft", "global.s0.8"]
    untimed = {"compression": None}
    changes = {"global.s0.9.stored-int8.ft": {"speedup": untimed, "size_ratio": 0.05}}
    records = [record(f"cora-node.spline.{case}", **changes.get(case, {})) for case in cases]
    page = results_page(made_up_results(*records)).partition("## What compression")[2]
    half, most = (line.split("|")[2:-1] for line in page.splitlines() if line.startswith("| cora-node.spline"))
    pruned = "0.900 ± 0.010 (-0.017), 4.0x smaller, 1.50x faster"
    assert [cell.strip() for cell in half] == ["0.5", "0.900 ± 0.010", "-", "-", "-", pruned, "-", "-"]
    stored = "0.900 ± 0.010 (-0.017), 20.0x smaller"
    assert [cell.strip() for cell in most] == ["0.9", "0.900 ± 0.010", pruned, "-", "-", "-", stored, "-"]
    assert "Stored in INT8 instead of FP32, a file is 5.0 times smaller" in page


def test_unstructured_and_structured_pruning_are_compared_by_their_median_speed() -> None:
    ratios = {"global.s0.5": 1.0, "fine-grained.s0.5": 1.02, "gradual.s0.9.ft": 1.5, "structured.s0.9.ft": 2.5}
    page = results_page(
        made_up_results(*(record(f"a.b.{case}", speedup={"compression": ratio}) for case, ratio in ratios.items()))
    )
    assert "Unstructured pruning makes models 1.02 times as fast in the median (1.00 to 1.50; timed cases: 3)." in page
    assert "Structured pruning makes models 2.50 times as fast in the median (2.50; timed cases: 1)." in page


def test_a_model_is_less_accurate_only_when_its_interval_says_so() -> None:
    page = results_page(
        made_up_results(
            record("a.b.global.s0.5.ft", accuracy_drop=drop(0.05, 0.04, 0.06)),
            record("a.b.global.s0.8.ft", accuracy_drop=drop(0.05, -0.01, 0.11)),
            record("a.b.global.s0.9.ft", accuracy_drop=drop(-0.05, -0.06, -0.04)),
            record("a.b.global.s0.9", accuracy_drop=drop(0.5, 0.4, 0.6)),
        )
    )
    (sentence,) = bullets(page, "paired 95%")
    assert "1 of 3 pruned and fine-tuned models are less accurate than the dense one and 1 more" in sentence
    assert sentence.endswith("Less accurate: `a.b.global.s0.5.ft`.")


def test_pruned_models_that_collapsed_are_named() -> None:
    collapsed = record("bbbp.gnnnet.global.s0.9.ft", collapsed=True)
    page = results_page(made_up_results(collapsed, record("bbbp.gnnnet.gradual.s0.9.ft")))
    assert "1 of 2 pruned graph classifiers are no better" in page
    assert "class: `bbbp.gnnnet.global.s0.9.ft`." in page


def test_of_the_variants_on_integers_the_one_with_the_lowest_validation_loss_is_shown() -> None:
    losses = {"ste-abs": None, "gc-per": 0.4, "gc-abs": 0.6}
    variants = [
        record(f"bbbp.gin.qat.int8.{name}", loss or 0.9, None, validation_loss=loss, integer_agreement=AGREEMENT)
        for name, loss in losses.items()
    ]
    page = results_page(made_up_results(record("bbbp.gin.dense"), *variants)).partition("## What integers")[2]
    assert cells(page, "QAT-INT8") == [
        "QAT-INT8",
        "0.83 ± 0.01",
        "0.400",
        "4.0x",
        "1.50x",
        "0.72 ± 0.01",
        "-",
        "-",
        "-",
    ]
    assert cells(page, "FP32")[1:4] == ["0.68 ± 0.02", "0.900 ± 0.010", "4.0x"]
    assert "A2Q" not in page


def test_integers_are_compared_with_their_simulation_and_with_our_runtime() -> None:
    other = {**AGREEMENT, "classes": 0.99, "identical": 0.5}
    slow = {"compression": 0.5}
    page = results_page(
        made_up_results(
            record("a.b.post-training.int8", integer_agreement=AGREEMENT, collapsed=True),
            record("a.c.post-training.int8", integer_agreement=other, speedup=slow, collapsed=None),
        )
    )
    assert "1 of 2 integer cases give every class of their simulation" in page
    assert "50.0% at least (`a.c.post-training.int8`)" in page
    assert "1.00 times the speed of our FP32 runtime in the median (0.50 to 1.50); 1 of 2 are faster" in page
    assert "1 of 1 graph classifiers on integers are no better" in page


def test_a_table_without_rows_is_left_out() -> None:
    page = results_page(made_up_results(record("bbbp.gin.dense")))
    assert [line for line in page.splitlines() if line.startswith("##")] == ["## Every model of the paper, remeasured"]


def test_the_command_writes_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results, page = tmp_path / "results.json", tmp_path / "page.md"
    results.write_bytes(msgspec.json.encode(made_up_results(record("bbbp.gin.dense"))))
    monkeypatch.setattr(sys, "argv", ["results_page", str(results), str(page)])
    monkeypatch.delitem(sys.modules, "bench.report.results_page")
    runpy.run_module("bench.report.results_page", run_name="__main__")
    assert page.read_text() == results_page(read_results(results))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        (b"no JSON", "JSON is malformed"),
        (b"[]", "Expected `object`, got `array`"),
        (b'{"cases": []}', "missing required field `schema`"),
        (msgspec.json.encode(made_up_results()), "hold no case"),
        (WRONG, "Expected `float | null`, got `str` - at `$.cases[0].accuracy.mean`"),
    ],
)
def test_a_file_that_holds_no_results_is_refused_with_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: bytes | None,
    reason: str,
) -> None:
    results, page = tmp_path / "results.json", tmp_path / "page.md"
    if content is not None:
        results.write_bytes(content)
    monkeypatch.setattr(sys, "argv", ["results_page", str(results), str(page)])
    with pytest.raises(SystemExit) as refused:
        main()
    error = capsys.readouterr().err.splitlines()[-1]
    assert refused.value.code == 2
    assert reason in error
    assert not page.exists()


def test_a_case_whose_numbers_are_not_finite_is_counted_and_stands_in_no_table() -> None:
    odd = made_up_record(
        "cora-node.spline.dense",
        accuracy={"values": [None], "mean": None, "std": None},
        not_finite={"accuracy.values.0": "nan"},
        gate={"status": "fail"},
    )
    page = results_page(made_up_results(odd, record("bbbp.gin.dense")))
    assert "Cases: 2" in page
    assert "1 fail, 1 pass" in page
    assert not [line for line in page.splitlines() if line.startswith("| cora-node.spline ")]

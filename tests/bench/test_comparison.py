"""What is said of every value that the paper reports, from records made by hand; docs/reproduction.md defines it."""

import math
import statistics

import msgspec
import pytest
from scipy.stats import t as students_t
from scipy.stats import ttest_1samp

from bench.report.comparison import Comparison, compare
from bench.report.significance import difference_of_means, holm
from fixtures.record import Record, Results
from tests.bench.made_up_records import changed, made_up_record, made_up_results
from tests.bench.made_up_run import made_up_run

SPLINE = "cora-node.spline.dense"
PRUNED = "cora-node.spline.global.s0.8"
NEW_TORCH = "torch.save writes more beside the values than that of torch 2.0.1"


def scored(case_id: str, mean: float, std: float | None = 0.004, **changes: object) -> Record:
    return made_up_record(case_id, accuracy={"mean": mean, "std": std}, **changes)


def sized(case_id: str, algorithm1: float, **changes: object) -> Record:
    return made_up_record(case_id, size_bytes={"dense": 300_000.0, "algorithm1": algorithm1}, **changes)


def find(results: Results, table: str, row: str, metric: str = "accuracy") -> Comparison:
    keys = {(found.entry.table, found.entry.row, found.entry.metric): found for found in compare(results)}
    return keys[table, row, metric]


def test_holm_multiplies_the_smallest_of_four_by_four_and_lets_none_fall_below_one_before() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.7, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_difference_has_welchs_error_and_his_degrees_of_freedom_for_our_part() -> None:
    # 0.02^2 / 4 = 0.0001, and 0.03^2 = 0.0009 more: the error is sqrt(0.001), and 3 x (0.001 / 0.0001)^2 = 300.
    difference, p = difference_of_means((0.9, 0.02, 4), (0.8, 0.03), 0.005)
    assert difference == pytest.approx(0.1)
    half = students_t.ppf(0.975, 300) * math.sqrt(0.001)
    assert difference.interval == pytest.approx((0.1 - half, 0.1 + half))
    assert p == pytest.approx(2 * students_t.sf(0.095 / math.sqrt(0.001), 300))


def test_without_a_deviation_and_rounding_it_is_the_t_test_of_one_sample() -> None:
    values = [0.81, 0.84, 0.79, 0.86, 0.83]
    ours = statistics.mean(values), statistics.stdev(values), len(values)
    _, p = difference_of_means(ours, (0.8, None), 1e-9)
    _, expected = ttest_1samp(values, 0.8)
    assert p == pytest.approx(expected, rel=1e-5)


def test_what_rounding_explains_is_no_difference_however_sure_both_are() -> None:
    assert difference_of_means((0.8049, 1e-6, 10), (0.8, 0.0), 0.005)[1] == 1.0
    # A deviation that is printed as 0.00 may be as large as the rounding.
    assert difference_of_means((0.82, 0.0, 10), (0.8, 0.0), 0.005)[1] == pytest.approx(0.0027, abs=1e-4)


@pytest.mark.parametrize(
    ("table", "record", "text"),
    [
        ("9", scored(SPLINE, 0.893), "reproduced"),
        ("9", scored(SPLINE, 0.893, None, seeds=[0]), "undecided: one seed"),
        ("9", scored(SPLINE, 0.893, 0.0, seeds=[0, 1]), "undecided: 2 seeds, and 3 at least are needed"),
        ("9", scored(SPLINE, 0.2, 0.0, seeds=[0, 1]), "undecided: 2 seeds, and 3 at least are needed"),
        (
            *("9", scored(SPLINE, 0.893, 0.02)),
            "undecided: the mean of 4 seeds is known to within 0.032, and 0.025 is needed",
        ),
        ("9", scored(SPLINE, 0.893, 0.02, seeds=[*range(10)]), "reproduced"),
        ("9", scored(SPLINE, 0.95), "differs: reason unknown"),
        ("11", scored(SPLINE, 0.893, 0.001), "not reproducible: Table 9 has 0.89 ± 0.01 for the same model"),
        ("9", scored(PRUNED, 0.5, layer_sparsity={"a": 1.0, "b": 0.2}), "differs: nothing is left of a here"),
        ("9", scored(PRUNED, 0.99, layer_sparsity={"a": 1.0, "b": 0.2}), "differs: reason unknown"),
    ],
)
def test_a_score_gets_its_verdict(table: str, record: Record, text: str) -> None:
    assert find(made_up_results(record), table, record.id).text == text


def test_a_run_under_the_paper_s_protocol_stands_for_what_has_other_data_there() -> None:
    row = "proteins.hgpsl.dense"
    clean = made_up_results(scored(row, 0.72), scored(SPLINE, 0.893))
    same, apart = scored(SPLINE, 0.5), scored(row, 0.83, protocol="paper")
    paper = made_up_results(same, apart, protocol="paper")
    found = {(c.entry.table, c.entry.row, c.entry.metric): c for c in compare(clean, paper)}
    (easy, spline) = (found["4", row, "accuracy"], found["9", SPLINE, "accuracy"])
    assert (easy.protocol, easy.measured, easy.verdict) == ("paper", 0.83, "reproduced")
    assert (spline.protocol, spline.measured, spline.verdict) == ("clean", 0.893, "reproduced")
    # One family: the paper's run counts once, and the clean values that it stands for do not.
    assert easy.adjusted_p is not None
    assert sum(c.p is not None for c in found.values()) == sum(c.p is not None for c in compare(clean))


def test_a_value_that_only_the_clean_protocol_has_differs_and_says_so() -> None:
    row = "cora-link.ness.dense"
    clean, paper = (
        made_up_results(scored(row, mean, protocol=protocol), protocol=protocol)
        for protocol, mean in (("clean", 0.94), ("paper", 0.99))
    )
    (found,) = [c for c in compare(clean, paper) if (c.entry.table, c.entry.row, c.metric.kind) == ("2", row, "score")]
    assert found.text == (
        "differs: messages pass over held-out edges in this protocol; the clean protocol reproduces it"
    )
    assert find(clean, "2", row).text == "reproduced"


def test_a_score_of_the_easy_split_is_not_reproducible_and_one_above_it_is_not_explained_by_it() -> None:
    for mean, verdict in ((0.72, "not reproducible"), (0.95, "differs")):
        found = find(made_up_results(scored("proteins.hgpsl.dense", mean)), "4", "proteins.hgpsl.dense")
        assert (found.verdict, "easy" in found.reason) == (verdict, mean < 0.83)
    on_it = made_up_results(scored("proteins.hgpsl.dense", 0.72), protocol="paper")
    assert find(on_it, "4", "proteins.hgpsl.dense").text == "differs: reason unknown"


def test_what_only_chance_may_explain_among_so_many_is_undecided() -> None:
    alone, among = made_up_results(scored(PRUNED, 0.936)), made_up_run()
    assert find(alone, "9", PRUNED).verdict == "differs"
    others = [record for record in among.cases if record.id != PRUNED]
    found = find(msgspec.structs.replace(among, cases=[*others, *alone.cases]), "9", PRUNED)
    assert found.p == pytest.approx(find(alone, "9", PRUNED).p)
    assert found.verdict == "undecided"
    assert "among all scores" in found.reason


@pytest.mark.parametrize(
    ("row", "algorithm1", "changes", "text"),
    [
        ("cora-node.spline.global.s0.8.ft", 300_000 / 4.76, {}, "reproduced"),
        ("cora-node.spline.global.s0.8.ft", 300_000 / 4.63, {}, "reproduced"),
        ("cora-node.spline.global.s0.8.ft", 300_000 / 4.59, {}, f"differs: {NEW_TORCH}"),
        ("cora-node.spline.global.s0.8.ft", 300_000 / 4.2, {}, "differs: reason unknown"),
        (
            *("cora-node.spline.global.s0.8.ft", 300_000 / 2.0, {"layer_sparsity": {"a": 1.0}}),
            "differs: nothing is left of a here, so Algorithm 1 keeps it whole",
        ),
        ("proteins.hgpsl.global.s0.9.ft", 300_000 / 8.3, {}, "not reproducible: Table 10 has 8.30 for the same model"),
        (
            "proteins.hgpsl.global.s0.8.ft",
            300_000 / 4.57,
            {},
            "not reproducible: Table 5 has 3.13 already at sparsity 0.7",
        ),
        ("proteins.hgpsl.global.s0.8.ft", 300_000 / 1.5, {}, "differs: reason unknown"),
        (
            *("bbbp.gnnnet.fine-grained.s0.5.ft", 300_000 / 1.94, {}),
            "not reproducible: Table 11 has 1.96 for the same model not fine-tuned, with as many zeros",
        ),
        (
            *("bbbp.gnnnet.fine-grained.s0.9.ft", 300_000 / 7.7, {}),
            "not reproducible: Table 11 has 8.00 for the same model not fine-tuned, with as many zeros",
        ),
        ("bbbp.gnnnet.fine-grained.s0.5.ft", 300_000 / 2.1, {}, "differs: reason unknown"),
    ],
)
def test_a_size_is_reproduced_within_three_per_cent(
    row: str, algorithm1: float, changes: dict[str, object], text: str
) -> None:
    assert find(made_up_results(sized(row, algorithm1, **changes)), "5", row, "algorithm1_ratio").text == text


def test_counts_are_reproduced_exactly_or_not() -> None:
    statistics = {"graphs": 1113, "nodes": 43471, "edges": 81044, "features": 4, "labels": 3}
    data = {"proteins": {"source": "root", "statistics": statistics}}
    results = made_up_results(made_up_record("proteins.gin.dense", parameters=43_271), data=data)
    texts = {name: find(results, "1", "proteins", name).text.partition(";")[0] for name in statistics}
    assert texts == {
        "graphs": "reproduced",
        "nodes": "not reproducible: that is nodes per graph",
        "edges": "not comparable: the paper prints no number",
        "features": "differs: 29 is the attribute count of TUDataset's PROTEINS_full",
        "labels": "differs: reason unknown",
    }
    assert find(results, "3", "proteins.gin.dense", "parameters").text == "reproduced"


def test_a_resource_is_not_comparable_and_says_why_it_was_not_measured() -> None:
    reasons = {"energy_j": "for a reason", "cpu_percent": "for another"}
    unmeasured = {"energy_j": {"value": None, "source": "none"}, "cpu_percent": None, "not_applicable": reasons}
    memory = {"peak_rss": None, "reason": "no such file"}
    results = made_up_results(made_up_record(SPLINE), made_up_record(PRUNED, **unmeasured, memory_bytes=memory))
    assert find(results, "13", SPLINE, "energy_j").text.startswith(
        "not comparable: the paper's is of its whole machine"
    )
    assert find(results, "13", PRUNED, "energy_j").text == "not measured: for a reason"
    assert find(results, "13", PRUNED, "cpu_percent").text == "not measured: for another"
    assert find(results, "13", PRUNED, "memory_mb").text == "not measured: no such file"


@pytest.mark.parametrize(
    ("results", "row", "reason"),
    [
        (made_up_results(profile="quick"), "bbbp.gnnnet.l2.r1", "profile quick leaves it out"),
        (made_up_results(profile="paper"), "bbbp.gnnnet.l2.r1", "it is not among the cases of this run"),
        (
            made_up_results(
                changed(made_up_record("bbbp.gnnnet.l2.r1"), not_finite={"sparsity": "NaN"}), profile="paper"
            ),
            *("bbbp.gnnnet.l2.r1", "its values are not finite"),
        ),
    ],
)
def test_what_was_not_run_says_why(results: Results, row: str, reason: str) -> None:
    found = find(results, "17", row)
    assert (found.text, found.measured) == (f"not run: {reason}", None)


def test_of_several_variants_the_one_with_the_lowest_validation_loss_stands_for_the_line() -> None:
    row = "bbbp.gin.qat.int8"
    losses = {"ste-abs": 0.3, "gc-mom": 0.1, "gc-per": 0.2, "ste-per": None}
    records = [scored(f"{row}.{name}", 0.8, validation_loss=loss) for name, loss in losses.items()]
    found = find(made_up_results(*records), "7", row)
    assert isinstance(found.subject, Record)
    assert found.subject.id == f"{row}.gc-mom"
    unjudged = made_up_results(records[-1], profile="paper")
    assert find(unjudged, "7", row).verdict == "not run"


def test_extremes_of_table_6_are_over_the_sparsities_without_fine_tuning_and_say_where_they_are() -> None:
    def took(case_id: str, joules: float) -> Record:
        return made_up_record(case_id, energy_j={"value": joules, "source": "rapl"})

    group = "bbbp.gnnnet.global"
    results = made_up_results(
        *(took(f"{group}.s0.2", 3.0), took(f"{group}.s0.5", 5.0), took(f"{group}.s0.9", 2.0)),
        *(took(f"{group}.s0.9.ft", 9.0), took(f"{group}.s0.9.stored-int8", 8.0), took("bbbp.gnnnet.dense", 7.0)),
    )
    kinds = ("max", "min", "base")
    shown = [format(find(results, "6", group, f"energy_j.{kind}").measured, ".1f") for kind in kinds]
    assert shown == ["5.0 (0.5, rapl)", "2.0 (0.9, rapl)", "7.0 (rapl)"]

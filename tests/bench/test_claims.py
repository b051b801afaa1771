"""Claims are supported, contradicted or undecided by records, and never by too few seeds."""

import pytest
from scipy.stats import ttest_1samp

from bench.matrix import TABLE
from bench.report.claims import (
    ABOVE,
    BELOW,
    CONTRADICTED,
    NOT_RUN,
    SUPPORTED,
    UNDECIDED,
    Claim,
    Compared,
    Evidence,
    LackingError,
    claims_table,
    judged_claims,
    least_size,
    least_speedup,
    mean_of,
    paired_mean,
    shown,
)
from bench.report.practice import CLAIMS
from bench.report.significance import holm
from fixtures.paired import paired_difference
from fixtures.record import Record
from tests.bench.made_up_records import made_up_record, made_up_results
from tests.bench.made_up_run import made_up_run

SEEDS = (0.031, 0.027, 0.034, 0.029, 0.033)
NOTHING = made_up_results(made_up_record("a.m.dense"))


def claim(*compared: Compared) -> Claim:
    return Claim("A claim.", "Advice.", lambda _: [*compared])


def judged(*compared: Compared) -> str:
    return judged_claims([claim(*compared)], NOTHING)[0].verdict


def test_p_is_that_of_a_two_sided_t_test_against_the_bound() -> None:
    found = mean_of("a - b", SEEDS, ABOVE, 0.02)
    _, expected = ttest_1samp(SEEDS, 0.02)
    assert found.p == pytest.approx(expected)
    assert found.value.interval == pytest.approx(paired_difference(SEEDS, [0.0] * len(SEEDS)).ci95)


@pytest.mark.parametrize(
    ("values", "side", "bound", "verdict"),
    [
        (SEEDS, ABOVE, 0.02, SUPPORTED),
        (SEEDS, BELOW, 0.02, CONTRADICTED),
        (SEEDS, ABOVE, 0.03, UNDECIDED),
        (SEEDS[:2], ABOVE, -1.0, UNDECIDED),
        ((0.5,), ABOVE, -1.0, UNDECIDED),
        ((0.1, 0.1, 0.1), ABOVE, 0.0, SUPPORTED),
        ((0.1, 0.1, 0.1), ABOVE, 0.1, UNDECIDED),
    ],
)
def test_a_mean_decides_a_claim_where_the_seeds_do(
    values: tuple[float, ...], side: str, bound: float, verdict: str
) -> None:
    assert judged(mean_of("a - b", values, side, bound)) == verdict


def test_a_claim_needs_all_of_its_comparisons_and_falls_with_one() -> None:
    good, bad, open_ = (mean_of("a - b", SEEDS, ABOVE, bound) for bound in (0.02, 0.05, 0.03))
    assert [judged(good), judged(good, open_), judged(good, open_, bad)] == [SUPPORTED, UNDECIDED, CONTRADICTED]


def test_every_comparison_of_every_claim_counts_in_the_correction() -> None:
    almost = mean_of("a - b", (0.02, 0.03, 0.05, 0.04, 0.01), ABOVE, 0.005)
    other = mean_of("c - d", SEEDS, ABOVE, 0.03)
    alone, among = judged(almost), judged_claims([claim(almost)] + [claim(other)] * 9, NOTHING)
    assert (alone, among[0].verdict) == (SUPPORTED, UNDECIDED)
    p_values = [almost.p or 0.0] + [other.p or 0.0] * 9
    assert [found.compared[0].adjusted_p for found in among] == pytest.approx(holm(p_values))
    assert "10 comparisons of 10 claims" in claims_table(among).notes[1]


def speed(case_id: str, ratio: float, half: float = 0.02) -> Record:
    return made_up_record(case_id, speedup={"compression": ratio, "compression_ci95": (ratio - half, ratio + half)})


def test_the_least_of_more_speedups_is_less_sure() -> None:
    models = [speed(f"a.{name}.dense", ratio, 0.1) for name, ratio in (("x", 1.9), ("y", 1.2), ("z", 3.0), ("w", 9.0))]
    of_three, of_four = (least_speedup("pruned", models[:count], ABOVE, 1.05).p or 0.0 for count in (3, 4))
    assert 0.001 < of_three < 0.01
    assert of_four == pytest.approx(of_three * 4 / 3)


def test_of_speedups_and_sizes_the_one_nearest_to_the_wrong_side_decides() -> None:
    models = [speed(f"a.{name}.dense", ratio) for name, ratio in (("x", 1.9), ("y", 1.2), ("z", 3.0))]
    least = least_speedup("pruned", models, ABOVE, 1.05)
    assert (least.value, "a.y" in least.what, judged(least)) == (1.2, True, SUPPORTED)
    assert judged(least_speedup("pruned", [*models, speed("a.w.dense", 1.04)], ABOVE, 1.05)) == UNDECIDED
    assert judged(least_speedup("pruned", models, BELOW, 1.05)) == CONTRADICTED
    with pytest.raises(LackingError, match="of 3 timed models"):
        least_speedup("pruned", models[:2], ABOVE, 1.05)
    assert judged(least_size("bytes", [1.2, 1.01], "cases", 1.0)) == SUPPORTED
    assert judged(least_size("bytes", [1.2, 0.99], "cases", 1.0)) == CONTRADICTED


def test_pairs_are_of_the_seeds_that_all_have_and_of_enough_models() -> None:
    def scored(case_id: str, seeds: list[int], *values: float) -> Record:
        return made_up_record(case_id, seeds=seeds, accuracy={"values": [*values]})

    first = scored("a.m.x", [0, 1, 2], 0.5, 0.6, 0.7), scored("a.m.dense", [1, 2], 0.5, 0.5)
    second = scored("a.n.x", [1, 2, 3], 0.4, 0.6, 0.9), scored("a.n.dense", [2, 1], 0.5, 0.6)
    assert paired_mean([first, second]) == pytest.approx(((0.1 - 0.2) / 2, (0.2 + 0.1) / 2))
    with pytest.raises(LackingError, match="seeds that"):
        paired_mean([first, (scored("b.m.x", [7], 0.1), scored("b.m.dense", [7], 0.1))])
    evidence = Evidence({record.id: record for record in (*first, *second)}, {})
    assert len(evidence.of_models(["a.m", "a.n"], "x", "dense")) == 2
    with pytest.raises(LackingError, match="x and dense of 3 models"):
        evidence.of_models(["a.m", "a.n", "a.o", "a.p"], "x", "dense")


def test_the_paper_s_profile_decides_whatever_is_claimed_and_a_smaller_one_says_what_it_lacks() -> None:
    paper = made_up_run(protocol="paper")
    whole = judged_claims(CLAIMS, made_up_run(), paper)
    assert [found.lacking for found in whole if found.lacking] == []
    assert NOT_RUN not in {found.verdict for found in whole}
    assert len(shown(whole)) == 5
    assert all(found.text != found.claim.sentence for found in shown(whole))
    quick = judged_claims(CLAIMS, made_up_run("quick"))
    assert all(found.lacking in found.text for found in quick if found.verdict == NOT_RUN)
    assert NOT_RUN not in {found.verdict for found in shown(quick)}


def test_what_is_told_first_is_what_the_run_decides_and_advice_only_where_it_is_supported() -> None:
    good, bad, open_ = (mean_of("a - b", SEEDS, ABOVE, bound) for bound in (0.02, 0.05, 0.03))
    found = judged_claims([claim(open_), claim(bad), claim(good)], NOTHING)
    assert [judged.verdict for judged in shown(found)] == [CONTRADICTED, SUPPORTED, UNDECIDED]
    assert [judged.text for judged in shown(found)] == [
        "The run contradicts this: A claim.",
        "A claim. Advice.",
        "The run does not decide this: A claim.",
    ]


def test_the_cases_that_claims_name_are_in_the_table() -> None:
    """A claim that nothing can decide would be "not run" for ever."""
    assert {"bbbp.gnnnet.gradual.s0.9.ft", "proteins.gin.a2q", "cora-link.ness.l2.r1e-3.s0.9"} <= {
        row.case.id for row in TABLE
    }

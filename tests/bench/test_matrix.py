"""The table of cases is the paper's, and every snapshot belongs to one of its rows."""

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

import pytest

from bench import matrix
from bench.matrix import BASELINES, LOTTERY, PRUNING, REGULARIZATION, STORAGE, STRUCTURED, TABLE, TASKS
from fixtures.cases import Row
from gnn.case import Case
from gnn.compression import Dense
from gnn.tasks import PLANTED_PREFIX
from gnn.tasks import TASKS as REGISTERED_TASKS

SNAPSHOTS = Path(__file__).parents[2] / "snapshots"
SPARSITIES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
GATED = {0.5, 0.8, 0.9}
TARGETS = ("bbbp.gin", "bbbp.gnnnet", "cora-link.ness", "cora-node.spline", "proteins.hgpsl")
# Importance and fine-tuning of structured pruning.
KINDS = tuple((kind, end) for kind in ("", ".taylor") for end in ("", ".ft"))
EVERY_PROFILE = {"quick": 3, "ci": 5, "paper": 10}
DEAR = {"quick": 1, "ci": 5, "paper": 10}
# Tables 2 and 4 of the paper, and the scaffold split of its BBBP.
CHEAP_BASELINES = {
    "cora-link.ness.dense",
    "cora-node.gcn.dense",
    "cora-node.graphconv.dense",
    "cora-node.spline.dense",
    "cora-node.ssp.dense",
}
DEAR_BASELINES = {
    "cora-link.graphsage.dense",
    "bbbp-scaffold.gnnnet.dense",
    "bbbp.gcn-readout.dense",
    "bbbp.gin.dense",
    "bbbp.gnnnet.dense",
    "bbbp.sage-readout.dense",
    "bbbp.supergat-readout.dense",
    "cora-link.walkpooling.dense",
    "proteins.gcn-readout.dense",
    "proteins.gin.dense",
    "proteins.hgpsl.dense",
    "proteins.sage-readout.dense",
    "proteins.supergat-readout.dense",
}
# The others have no split or messages that the paper's protocol would change.
TASKS_OF_TWO_PROTOCOLS = {"cora-link", "proteins"}


def snapshot_names(case: Case) -> set[str]:
    """The files a case may have: on real and planted data, and under the paper's protocol where that differs."""
    protocols = ("", "@paper") if case.registered_task in TASKS_OF_TWO_PROTOCOLS else ("",)
    return {f"{prefix}{case.id}{protocol}.json" for prefix in ("", PLANTED_PREFIX) for protocol in protocols}


def orphans(files: Iterable[Path]) -> list[str]:
    """The names of files that no row of the table writes."""
    known = {name for row in TABLE for name in snapshot_names(row.case)}
    return sorted(file.name for file in files if file.name not in known)


def ids(rows: Iterable[Row], profile: str = "paper") -> set[str]:
    return {row.case.id for row in rows if profile in row.seeds}


def test_every_case_is_there_once() -> None:
    table = [row.case.id for row in TABLE]
    assert len(table) == len(set(table)) == 506
    assert ids(TABLE) == set(table)


def test_every_case_of_the_table_is_asked_by_one_test_file() -> None:
    files = sorted(Path(matrix.__file__).parent.glob("test_*.py"))
    asked = [getattr(import_module(f"bench.{file.stem}"), "CASES", ()) for file in files]
    assert sorted(row.case.id for rows in asked for row in rows) == sorted(ids(TABLE))


def test_the_baselines_are_those_of_the_papers_tables() -> None:
    assert {row.case.id for row in BASELINES} == CHEAP_BASELINES | DEAR_BASELINES
    assert len(BASELINES) == 18
    assert all(row.case.compression == Dense() and not row.case.fine_tune for row in BASELINES)


def test_dear_baselines_have_fewer_seeds_and_come_first() -> None:
    for row in BASELINES:
        assert row.seeds == (DEAR if row.case.id in DEAR_BASELINES else EVERY_PROFILE), row.case.id
    cheap = [row.case.id in CHEAP_BASELINES for row in BASELINES]
    assert cheap == sorted(cheap)


def test_every_target_is_trained_longer_as_a_control() -> None:
    controls = {row.case.id for row in PRUNING if row.case.dense}
    assert controls == {f"{target}.dense.ft" for target in TARGETS}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("method", ["global", "fine-grained"])
def test_every_tenth_of_sparsity_is_asked_for(target: str, method: str) -> None:
    for end in ("", ".ft"):
        assert {f"{target}.{method}.s{asked}{end}" for asked in SPARSITIES} <= ids(PRUNING)
        gated = ids(PRUNING, "ci")
        assert {asked for asked in SPARSITIES if f"{target}.{method}.s{asked}{end}" in gated} == GATED
    quick = {one for one in ids(PRUNING, "quick") if one.startswith(f"{target}.{method}.")}
    assert len(quick) == (6 if target == "cora-node.spline" else int(method == "global"))


def test_every_target_is_narrowed_with_both_kinds_of_importance() -> None:
    asked = {f"{target}.structured.s{s}{kind}{end}" for target in TARGETS for s in GATED for kind, end in KINDS}
    assert ids(STRUCTURED) == asked
    gated = ids(STRUCTURED, "ci")
    assert {f"{target}.structured.s{s}.ft" for target in TARGETS for s in GATED} <= gated


def test_every_target_is_stored_in_every_lossy_precision() -> None:
    methods = ("dense", "global.s0.5", "global.s0.9")
    asked = {
        f"{target}.{method}.stored-{precision}{'' if method == 'dense' else '.ft'}"
        for target in TARGETS
        for method in methods
        for precision in ("fp16", "int8", "int4")
    }
    assert ids(STORAGE) == ids(STORAGE, "ci") == asked


def test_the_rates_are_those_of_the_papers_table() -> None:
    powers, tenths = ("0", "1e-6", "1e-5", "1e-4", "1e-3", "1e-2"), tuple(f"0.{tenth}" for tenth in range(1, 10))
    rates = (*powers, *tenths, "1", "1e2", "1e3", "1e6")
    regularized = {target for target in TARGETS if "gin" not in target}
    whole = {one for one in ids(REGULARIZATION) if not one.endswith(".s0.9")}
    assert whole == {f"{target}.l2.r{rate}" for target in regularized for rate in rates}
    pruned = ids(REGULARIZATION) - whole
    assert {f"{one.removesuffix('.s0.9')}" for one in pruned} <= whole
    assert {f"{target}.l2.r1e-3.s0.9" for target in regularized} <= pruned


def test_every_target_draws_a_lottery_ticket_with_all_controls() -> None:
    starts = ("init", "early", "random", "one-shot")
    assert ids(LOTTERY) == {f"{target}.lottery-ticket.s0.8.{start}" for target in TARGETS for start in starts}
    gated = ids(LOTTERY, "ci")
    assert {
        f"{target}.lottery-ticket.s0.8.{start}" for target in TARGETS for start in starts if start != "early"
    } <= gated


def test_a_control_comes_after_the_ticket_whose_mask_it_takes() -> None:
    order = [row.case.id for row in LOTTERY]
    for target in TARGETS:
        assert order.index(f"{target}.lottery-ticket.s0.8.init") < order.index(f"{target}.lottery-ticket.s0.8.random")


def test_the_searched_tasks_are_those_of_the_table_and_registered() -> None:
    assert len(set(TASKS)) == len(TASKS) == 5
    assert set(TASKS) == {row.case.registered_task for row in TABLE}
    assert set(TASKS) <= set(REGISTERED_TASKS)


def test_every_snapshot_belongs_to_a_case() -> None:
    assert orphans(SNAPSHOTS.iterdir()) == []


def test_every_case_that_is_gated_has_a_snapshot_of_real_data() -> None:
    missing = [one for one in sorted(ids(TABLE, "ci")) if not (SNAPSHOTS / f"{one}.json").is_file()]
    assert missing == []


def test_an_orphan_is_named() -> None:
    names = [
        "cora-node.spline.dense.json",
        "planted-cora-node.spline.global.s0.5.ft.json",
        "cora-link.ness.dense@paper.json",
        "planted-proteins.hgpsl.dense@paper.json",
        "bbbp.gin.dense.json",
        "bbbp.gin.dense@paper.json",
        "cora-node.spline.dense@paper.json",
        "cora-node.spline.global.s0.55.json",
        "cora-link.ness.dense@dirty.json",
        "cora-link.graphsage.dense.ft.json",
        ".gitkeep",
    ]
    assert orphans(Path(name) for name in names) == [
        ".gitkeep",
        "bbbp.gin.dense@paper.json",
        "cora-link.graphsage.dense.ft.json",
        "cora-link.ness.dense@dirty.json",
        "cora-node.spline.dense@paper.json",
        "cora-node.spline.global.s0.55.json",
    ]

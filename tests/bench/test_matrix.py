"""The table of cases is the paper's, and every snapshot belongs to one of its rows."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from bench.matrix import BASELINES, CONTROL, PRUNING, TABLE, TASKS
from fixtures.cases import Row
from gnn.case import Case
from gnn.compression import Dense, FineGrained, GlobalMagnitude
from gnn.tasks import PLANTED_PREFIX
from gnn.tasks import TASKS as REGISTERED_TASKS

SNAPSHOTS = Path(__file__).parents[2] / "snapshots"
SPARSITIES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
IN_EVERY_PROFILE = {0.5, 0.8, 0.9}
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


def test_every_case_is_there_once() -> None:
    ids = [row.case.id for row in TABLE]
    assert len(ids) == len(set(ids)) == 55
    assert TABLE == BASELINES + PRUNING


def test_the_baselines_are_those_of_the_papers_tables() -> None:
    assert {row.case.id for row in BASELINES} == CHEAP_BASELINES | DEAR_BASELINES
    assert len(BASELINES) == 18
    assert all(row.case.compression == Dense() and not row.case.fine_tune for row in BASELINES)


def test_dear_baselines_have_fewer_seeds_and_come_first() -> None:
    for row in BASELINES:
        assert row.seeds == (DEAR if row.case.id in DEAR_BASELINES else EVERY_PROFILE), row.case.id
    cheap = [row.case.id in CHEAP_BASELINES for row in BASELINES]
    assert cheap == sorted(cheap)


def test_the_only_dense_case_that_is_trained_longer_is_the_control() -> None:
    assert PRUNING[0] is CONTROL
    assert (CONTROL.case.id, CONTROL.case.compression) == ("cora-node.spline.dense.ft", Dense())
    assert [row for row in PRUNING if row.case.dense] == [CONTROL]


@pytest.mark.parametrize("method", [GlobalMagnitude, FineGrained])
@pytest.mark.parametrize("fine_tune", [False, True])
def test_every_tenth_of_sparsity_is_asked_for(method: type[GlobalMagnitude | FineGrained], fine_tune: bool) -> None:
    settings = [row.case.compression for row in PRUNING if row.case.fine_tune == fine_tune]
    assert [setting for setting in settings if type(setting) is method] == [method(asked) for asked in SPARSITIES]


def test_every_pruned_case_has_the_seeds_of_its_profile() -> None:
    assert len(PRUNING) == 37
    for row in PRUNING:
        everywhere = getattr(row.case.compression, "sparsity", 0.5) in IN_EVERY_PROFILE
        assert row.seeds == (EVERY_PROFILE if everywhere else {"paper": 10}), row.case.id


def test_the_searched_tasks_are_those_of_the_table_and_registered() -> None:
    assert len(set(TASKS)) == len(TASKS) == 5
    assert set(TASKS) == {row.case.registered_task for row in TABLE}
    assert set(TASKS) <= set(REGISTERED_TASKS)


def test_every_snapshot_belongs_to_a_case() -> None:
    assert orphans(SNAPSHOTS.iterdir()) == []


@pytest.mark.parametrize("rows", [PRUNING, BASELINES], ids=["pruning", "baselines"])
def test_every_case_has_a_snapshot_of_real_data(rows: tuple[Row, ...]) -> None:
    missing = [row.case.id for row in rows if not (SNAPSHOTS / f"{row.case.id}.json").is_file()]
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
        "cora-link.ness.dense.ft.json",
        ".gitkeep",
    ]
    assert orphans(Path(name) for name in names) == [
        ".gitkeep",
        "bbbp.gin.dense@paper.json",
        "cora-link.ness.dense.ft.json",
        "cora-link.ness.dense@dirty.json",
        "cora-node.spline.dense@paper.json",
        "cora-node.spline.global.s0.55.json",
    ]

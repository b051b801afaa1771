"""The table of cases is the paper's, and every snapshot belongs to one of its rows."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from bench.matrix import PRUNING, TASKS
from gnn.compression import Dense, FineGrained, GlobalMagnitude
from gnn.tasks import PLANTED_PREFIX
from gnn.tasks import TASKS as REGISTERED_TASKS

SNAPSHOTS = Path(__file__).parents[2] / "snapshots"
SPARSITIES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
IN_EVERY_PROFILE = {0.5, 0.8, 0.9}


def orphans(files: Iterable[Path]) -> list[str]:
    """The names of files that no row of the table writes."""
    ids = {row.case.id for row in PRUNING}
    known = {
        f"{prefix}{case_id}{protocol}.json"
        for case_id in ids
        for prefix in ("", PLANTED_PREFIX)
        for protocol in ("", "@paper")
    }
    return sorted(file.name for file in files if file.name not in known)


def test_every_case_is_there_once() -> None:
    ids = [row.case.id for row in PRUNING]
    assert len(ids) == len(set(ids)) == 38


def test_the_controls_are_the_dense_model_with_and_without_more_training() -> None:
    controls = [row.case for row in PRUNING if row.case.dense]
    assert [(control.compression, control.fine_tune) for control in controls] == [(Dense(), False), (Dense(), True)]
    assert [control.id for control in controls] == ["cora-node.spline.dense", "cora-node.spline.dense.ft"]


@pytest.mark.parametrize("method", [GlobalMagnitude, FineGrained])
@pytest.mark.parametrize("fine_tune", [False, True])
def test_every_tenth_of_sparsity_is_asked_for(method: type[GlobalMagnitude | FineGrained], fine_tune: bool) -> None:
    settings = [row.case.compression for row in PRUNING if row.case.fine_tune == fine_tune]
    assert [setting for setting in settings if type(setting) is method] == [method(asked) for asked in SPARSITIES]


def test_every_profile_has_its_number_of_seeds() -> None:
    for row in PRUNING:
        everywhere = getattr(row.case.compression, "sparsity", 0.5) in IN_EVERY_PROFILE
        expected = {"quick": 3, "ci": 5, "paper": 10} if everywhere else {"paper": 10}
        assert row.seeds == expected, row.case.id


def test_the_searched_tasks_are_those_of_the_table_and_registered() -> None:
    assert set(TASKS) == {row.case.registered_task for row in PRUNING}
    assert set(TASKS) <= set(REGISTERED_TASKS)


def test_every_snapshot_belongs_to_a_case() -> None:
    assert orphans(SNAPSHOTS.iterdir()) == []


def test_every_case_has_a_snapshot_of_real_data() -> None:
    missing = [row.case.id for row in PRUNING if not (SNAPSHOTS / f"{row.case.id}.json").is_file()]
    assert missing == []


def test_an_orphan_is_named() -> None:
    names = [
        "cora-node.spline.dense.json",
        "planted-cora-node.spline.global.s0.5.ft.json",
        "cora-node.spline.dense@paper.json",
        "cora-node.spline.global.s0.55.json",
        "cora-node.spline.dense@dirty.json",
        ".gitkeep",
    ]
    assert orphans(Path(name) for name in names) == [
        ".gitkeep",
        "cora-node.spline.dense@dirty.json",
        "cora-node.spline.global.s0.55.json",
    ]

"""The table of cases holds the paper's tables, its profiles nest, and every snapshot belongs to one of its rows."""

import json
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

import pytest

from bench import matrix
from bench.matrix import BASELINES, LOTTERY, PRUNING, QUANTIZATION, REGULARIZATION, STORAGE, TABLE
from fixtures.cases import Row
from fixtures.options import PROFILES
from gnn.case import Case
from gnn.compression import METHODS
from gnn.tasks import PLANTED_PREFIX

SNAPSHOTS = Path(__file__).parents[2] / "snapshots"
TARGETS = ("bbbp.gin", "bbbp.gnnnet", "cora-link.ness", "cora-node.spline", "proteins.hgpsl")
# The others have no split or messages that the paper's protocol would change.
TASKS_OF_TWO_PROTOCOLS = {"bbbp", "cora-link", "proteins"}


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


def test_every_case_is_there_once_and_asked_by_one_test_file() -> None:
    table = sorted(row.case.id for row in TABLE)
    assert len(table) == len(set(table))
    files = sorted(Path(matrix.__file__).parent.glob("test_*.py"))
    asked = [getattr(import_module(f"bench.{file.stem}"), "CASES", ()) for file in files]
    assert sorted(row.case.id for rows in asked for row in rows) == table


def test_every_profile_asks_for_all_of_a_smaller_one_with_as_many_seeds() -> None:
    for row in TABLE:
        seeds = [row.seeds.get(profile, 0) for profile in PROFILES]
        assert seeds == sorted(seeds), row.case.id
        assert set(row.seeds) <= set(PROFILES), row.case.id
        assert seeds[-1] >= 1, row.case.id


def test_the_quick_profile_has_every_method_and_every_target_and_its_dense_model() -> None:
    quick = [row.case for row in TABLE if "quick" in row.seeds]
    assert {case.compression.method for case in quick} == set(METHODS)
    models = {f"{case.registered_task}.{case.model}" for case in quick}
    assert set(TARGETS) <= models
    assert {f"{model}.dense" for model in models} <= ids(BASELINES, "quick")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("method", ["global", "fine-grained"])
def test_every_tenth_of_sparsity_is_asked_for_beside_the_dense_model(target: str, method: str) -> None:
    asked = {f"{target}.{method}.s0.{tenth}{end}" for tenth in range(1, 10) for end in ("", ".ft")}
    assert asked <= ids(PRUNING)
    # What fine-tuning brings is told apart from what training longer does.
    assert {f"{target}.dense", f"{target}.dense.ft"} <= ids(BASELINES) | ids(PRUNING)


def test_every_target_is_stored_in_every_lossy_precision() -> None:
    methods = (("dense", ""), ("global.s0.5", ".ft"), ("global.s0.9", ".ft"))
    for precision in ("fp16", "int8", "int4"):
        asked = {f"{target}.{method}.stored-{precision}{end}" for target in TARGETS for method, end in methods}
        assert asked <= ids(STORAGE)


def test_the_rates_are_those_of_the_papers_table() -> None:
    powers, tenths = ("1e-6", "1e-5", "1e-4", "1e-3", "1e-2"), tuple(f"0.{tenth}" for tenth in range(1, 10))
    rates = (*powers, *tenths, "1", "1e2", "1e3", "1e6")
    assert len(rates) == 18
    # Without a penalty, trained alike.
    asked = {f"{target}.l2.r{rate}" for target in TARGETS if "gin" not in target for rate in ("0", *rates)}
    assert asked <= ids(REGULARIZATION)


def test_every_target_draws_a_lottery_ticket_with_all_controls_after_it() -> None:
    order = [row.case.id for row in LOTTERY if "paper" in row.seeds]
    for target in TARGETS:
        starts = [f"{target}.lottery-ticket.s0.8.{start}" for start in ("init", "early", "random", "one-shot")]
        assert set(starts) <= set(order)
        # It takes the masks of the ticket.
        assert order.index(starts[0]) < order.index(starts[2])


def test_the_paper_has_as_many_seeds_as_a_verdict_needs_and_its_training_allows() -> None:
    asked = {row.case.id: row.seeds["paper"] for row in TABLE}
    expected = {
        20: ("proteins.hgpsl.dense",),
        10: ("bbbp.gnnnet.dense.ft", "bbbp.gin.global.s0.9.ft", "bbbp.gin.lottery-ticket.s0.8.random"),
        5: (
            *("bbbp.gin.qat.int8.ste-per", "proteins.hgpsl.l2.r0.1", "bbbp.gnnnet.lottery-ticket.s0.8.early"),
            *("bbbp.gin.global.s0.3.ft", "cora-link.walkpooling.dense"),
        ),
    }
    for seeds, ids_of_cases in expected.items():
        assert {case: asked[case] for case in ids_of_cases} == dict.fromkeys(ids_of_cases, seeds)
    assert {seeds for case, seeds in asked.items() if case.startswith("cora-node.spline")} == {10}
    # Nothing is trained besides the dense model.
    assert asked["proteins.hgpsl.fine-grained.s0.3"] == asked["bbbp.gin.dense.stored-int4"] == 10


@pytest.mark.parametrize("task", ["bbbp", "proteins"])
def test_gin_is_quantized_in_all_variants_of_the_paper_on_both_datasets(task: str) -> None:
    variants = {
        f"{task}.gin.{method}.int{bits}.{gradient}-{tracking}"
        for method in ("degree-quant", "qat")
        for bits in (4, 8)
        for gradient in ("gc", "ste")
        for tracking in ("per", "mom", "abs")
    }
    assert len(variants) == 24
    assert variants | {f"{task}.gin.a2q", f"{task}.gin.dense"} <= ids(QUANTIZATION) | ids(BASELINES)


def test_every_snapshot_belongs_to_a_case() -> None:
    assert orphans(SNAPSHOTS.iterdir()) == []


@pytest.mark.parametrize("profile", ["quick", "ci"])
def test_every_case_that_is_gated_has_a_snapshot_of_all_its_seeds(profile: str) -> None:
    lacking = {}
    for row in (row for row in TABLE if profile in row.seeds):
        path = SNAPSHOTS / f"{row.case.id}.json"
        stored = json.loads(path.read_text())["seeds"] if path.is_file() else {}
        lacking[row.case.id] = {str(seed) for seed in range(row.seeds[profile])} - stored.keys()
    assert lacking
    assert {case: seeds for case, seeds in lacking.items() if seeds} == {}


def test_an_orphan_is_named() -> None:
    names = [
        "cora-node.spline.dense.json",
        "planted-cora-node.spline.global.s0.5.ft.json",
        "cora-link.ness.dense@paper.json",
        "planted-proteins.hgpsl.dense@paper.json",
        "bbbp.gin.dense@paper.json",
        "bbbp-scaffold.gnnnet.dense@paper.json",
        "cora-node.spline.dense@paper.json",
        "cora-node.spline.global.s0.55.json",
        "cora-link.ness.dense@dirty.json",
        "cora-link.graphsage.dense.ft.json",
        ".gitkeep",
    ]
    assert orphans(Path(name) for name in names) == [
        ".gitkeep",
        "bbbp-scaffold.gnnnet.dense@paper.json",
        "cora-link.graphsage.dense.ft.json",
        "cora-link.ness.dense@dirty.json",
        "cora-node.spline.dense@paper.json",
        "cora-node.spline.global.s0.55.json",
    ]

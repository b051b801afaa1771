"""Case ids are pinned letter by letter, because baselines are named by them."""

import re
from typing import ClassVar

import pytest

from gnn.case import Case
from gnn.compression import Dense, FineGrained, GlobalMagnitude
from gnn.compression.registry import METHODS, CompressionSettings, RegisteredMethod
from gnn.errors import SettingError, UnknownNameError
from gnn.tasks import DataSource


@pytest.mark.parametrize(
    ("case", "case_id"),
    [
        (Case("cora-node", "spline", Dense()), "cora-node.spline.dense"),
        (Case("cora-node", "spline", Dense(), fine_tune=True), "cora-node.spline.dense.ft"),
        (Case("cora-node", "spline", GlobalMagnitude(0.8), fine_tune=True), "cora-node.spline.global.s0.8.ft"),
        (Case("cora-node", "spline", GlobalMagnitude(0.95)), "cora-node.spline.global.s0.95"),
        (Case("cora-node", "spline", FineGrained(0.5)), "cora-node.spline.fine-grained.s0.5"),
        (
            Case("planted-cora-node", "spline", FineGrained(0.5), fine_tune=True),
            "planted-cora-node.spline.fine-grained.s0.5.ft",
        ),
    ],
)
def test_ids_are_pinned(case: Case, case_id: str) -> None:
    assert case.id == case_id
    assert re.fullmatch(r"[a-z0-9.-]+", case.id)


@pytest.mark.parametrize("setting", ["s0_8", "S0.8", "s 1", "s0.8/ft", "s0.8\n", "é"])
def test_other_characters_are_refused(setting: str) -> None:
    class Loud(Dense):
        method: ClassVar[str] = "loud"

        def id_parts(self) -> tuple[str, ...]:
            return (setting,)

    loud = RegisteredMethod(Loud, METHODS["dense"].compress)
    with METHODS.temporarily("loud", loud), pytest.raises(SettingError) as caught:
        Case("cora-node", "spline", Loud())
    assert str(caught.value) == (
        f"case id {f'cora-node.spline.loud.{setting}'!r} may only use the characters a-z, 0-9, '.' and '-'"
    )


def test_an_unknown_task_is_refused() -> None:
    for name in ("cora", "planted-cora", "planted-planted-cora-node"):
        with pytest.raises(UnknownNameError, match=r"^unknown task '.*'; valid are: .*cora-node"):
            Case(name, "spline", Dense())


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"^unknown model 'splin'; valid are: .*spline"):
        Case("cora-node", "splin", Dense())


def test_an_unknown_method_is_refused() -> None:
    class Unregistered(Dense):
        method: ClassVar[str] = "melt"

    with pytest.raises(UnknownNameError, match=r"^unknown method 'melt'; valid are: a2q, bf16, degree-quant, dense, f"):
        Case("cora-node", "spline", Unregistered())


@pytest.mark.parametrize("settings", [Dense(), GlobalMagnitude(0.8)])
def test_planted_data_shows_in_the_id_once(settings: CompressionSettings) -> None:
    case = Case("cora-node", "spline", settings, fine_tune=True)
    planted = case.on(DataSource("planted"))
    assert planted.id == f"planted-{case.id}"
    assert planted.on(DataSource("planted")) == planted
    assert planted.registered_task == case.registered_task == "cora-node"
    assert (planted.compression, planted.fine_tune) == (settings, True)


@pytest.mark.parametrize("kind", ["root", "download"])
def test_real_data_keeps_the_name(kind: str) -> None:
    case = Case("cora-node", "spline", Dense())
    assert case.on(DataSource(kind)) == case
    assert case.on(DataSource("planted")).on(DataSource(kind)) == case


def test_settings_are_json_values_and_controls_are_known() -> None:
    pruned = Case("cora-node", "spline", GlobalMagnitude(0.8), fine_tune=True)
    assert pruned.settings == {"sparsity": 0.8, "fine_tune": True, "precision": "fp32"}
    assert not pruned.dense
    dense = Case("cora-node", "spline", Dense())
    assert dense.settings == {"fine_tune": False, "precision": "fp32"}
    assert dense.dense


def test_a_precision_of_the_file_stands_before_the_fine_tuning() -> None:
    case = Case("cora-node", "spline", GlobalMagnitude(0.9), fine_tune=True, precision="int8")
    assert case.id == "cora-node.spline.global.s0.9.stored-int8.ft"
    assert Case("cora-node", "spline", Dense(), precision="int4").id == "cora-node.spline.dense.stored-int4"


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"^unknown precision 'int5'; valid are: fp16, fp32, int4, int8$"):
        Case("cora-node", "spline", Dense(), precision="int5")

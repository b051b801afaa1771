"""A registry refuses duplicates and answers a wrong name with the valid ones."""

import sys
from pathlib import Path
from typing import Any

import pytest

import gnn.models
from gnn import source_code, training
from gnn.case import Case
from gnn.compression import METHODS, Dense
from gnn.errors import GnnError, UnknownNameError
from gnn.models import MODELS
from gnn.registry import Registry, import_parts
from gnn.source_code import source_sha256
from gnn.tasks import TASKS


@pytest.fixture
def colours() -> Registry[int]:
    registry: Registry[int] = Registry("colour")
    registry.add("red", 1)
    registry.add("blue", 2)
    return registry


def test_entries_are_found_by_name_and_listed_in_order(colours: Registry[int]) -> None:
    assert colours["red"] == 1
    assert colours["blue"] == 2
    assert list(colours) == ["blue", "red"]


def test_a_name_that_is_taken_is_refused_and_keeps_its_entry(colours: Registry[int]) -> None:
    with pytest.raises(ValueError, match=r"^colour 'red' is registered twice; give the second one its own name$"):
        colours.add("red", 3)
    with pytest.raises(ValueError, match="colour 'blue' is registered twice"):
        colours.register("blue")(3)
    assert (colours["red"], colours["blue"]) == (1, 2)


def test_the_decorator_registers_and_returns_the_entry(colours: Registry[int]) -> None:
    assert colours.register("green")(7) == 7
    assert colours["green"] == 7


def test_an_unknown_name_is_answered_with_the_valid_ones(colours: Registry[int]) -> None:
    with pytest.raises(UnknownNameError, match=r"^unknown colour 'pink'; valid are: blue, red$") as caught:
        colours["pink"]
    assert isinstance(caught.value, GnnError)


def test_an_entry_is_there_for_a_while_and_what_was_there_before_comes_back(colours: Registry[int]) -> None:
    with colours.temporarily("red", 5), colours.temporarily("pink", 6):
        assert (list(colours), colours["red"], colours["pink"]) == (["blue", "pink", "red"], 5, 6)
    assert (list(colours), colours["red"]) == (["blue", "red"], 1)


def test_a_model_is_one_file_that_registers_itself_and_changes_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {name: source_sha256(MODELS[name].build, training) for name in MODELS}
    (tmp_path / "newcomer.py").write_text(
        'from gnn.models.registry import MODELS\n\nMODELS.add("newcomer", MODELS["gcn"])\n'
    )
    monkeypatch.setattr(gnn.models, "__path__", [*gnn.models.__path__, str(tmp_path)])
    monkeypatch.setattr(source_code, "_SOURCES", {})
    with MODELS.temporarily("another", MODELS["gcn"]):
        import_parts("gnn.models", gnn.models.__path__)
        del sys.modules["gnn.models.newcomer"]
        assert Case("cora-node", "newcomer", Dense()).id == "cora-node.newcomer.dense"
    assert {name: source_sha256(MODELS[name].build, training) for name in MODELS} == before


@pytest.mark.parametrize(
    ("registry", "kind", "known"),
    [
        (TASKS, "task", {"cora-node"}),
        (MODELS, "model", {"spline"}),
        (METHODS, "method", {"dense", "fine-grained", "global"}),
    ],
)
def test_every_registry_of_the_library_lists_its_names(registry: Registry[Any], kind: str, known: set[str]) -> None:
    assert known <= set(registry)
    with pytest.raises(UnknownNameError) as caught:
        registry["no-such-name"]
    assert str(caught.value) == f"unknown {kind} 'no-such-name'; valid are: {', '.join(sorted(registry))}"

"""A structured case has to have smaller matrices, not zeros in them; Torch-Pruning's cuts are compared with ours."""

from dataclasses import replace

import pytest
import torch

from bench import traced_groups as module
from bench.findings import really_shrunk
from bench.traced_groups import EXPECTED, FORMS, SAME, traced_groups
from fixtures.artifacts import CaseRuns
from fixtures.findings import FAIL
from gnn.case import Case
from gnn.compression import Structured, compress
from gnn.compression.channel_groups import ChannelGroup, ChannelSlice
from gnn.compression.channel_layouts import ChannelLayout, channel_layout
from gnn.models import GraphModel, build_model
from gnn.tasks import Task
from gnn.trial import BaseModel
from tests.fixtures.conftest import made_up_run, small_task
from tests.gnn.five_models import random_model, small_tasks

TASKS = small_tasks()


class SmallLaboratory:
    """Has the small task of each model, by the name of the real one."""

    def task(self, name: str) -> Task:
        """The task of the first model that is measured on the real one."""
        return next(TASKS[model] for model, task in module.TASKS.items() if task == name)


def runs_of(compressed: list[GraphModel], sparsity: float, shrunk: int = 4) -> CaseRuns:
    """One seed for each model."""
    base = build_model("gnnnet", {"in_channels": 4, "out_channels": 2})
    runs = tuple(
        replace(made_up_run(seed, 0.9, 0.9, model), compressed_tensors=shrunk) for seed, model in enumerate(compressed)
    )
    case = Case("bbbp", "gnnnet", Structured(sparsity))
    return CaseRuns(case, small_task(), runs, BaseModel(base, 1.0, 1, 2, truncated=False))


def pruned(sparsity: float) -> GraphModel:
    return compress(build_model("gnnnet", {"in_channels": 4, "out_channels": 2}), Structured(sparsity)).model


def test_a_model_that_shrank_as_asked_is_fine() -> None:
    assert list(really_shrunk(runs_of([pruned(0.8), pruned(0.8)], 0.8))) == []


@pytest.mark.parametrize("achieved", [0.75, 0.83])
def test_a_model_that_shrank_by_another_share_fails(achieved: float) -> None:
    findings = [f for f in really_shrunk(runs_of([pruned(0.8), pruned(achieved)], 0.8)) if f.status == FAIL]
    assert len(findings) == 1
    assert findings[0].sentence.startswith("bbbp.gnnnet.structured.s0.8: remaining weights are 0.")
    assert findings[0].sentence.endswith("0.2 at most were asked for, allowed is 0.01 less (seed 1)")


def test_zeros_in_a_matrix_are_no_shrinkage() -> None:
    model = build_model("gnnnet", {"in_channels": 4, "out_channels": 2})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    sentences = [finding.sentence for finding in really_shrunk(runs_of([model], 0.5, shrunk=0)) if finding.sentence]
    assert [sentence.partition(": ")[2] for sentence in sentences] == [
        "remaining weights are 1 of the dense model's, 0.5 at most were asked for, allowed is 0.01 less (seed 0)",
        "0 tensors shrank and 0 have a mask; some have to shrink, and no mask is left (seed 0)",
    ]


def test_an_outcome_is_expected_of_every_group_of_every_form() -> None:
    assert set(EXPECTED) == set(FORMS)
    for form, outcomes in EXPECTED.items():
        name = form.partition(".")[0]
        model = build_model(name, {"in_channels": 9} | ({} if name == "ness" else {"out_channels": 2}))
        assert list(outcomes) == [group.name for group in channel_layout(model).groups(model.settings)]


@pytest.fixture
def torch_pruning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skips without Torch-Pruning; models are small."""
    pytest.importorskip("torch_pruning", reason="Torch-Pruning is not installed; pip install torch-pruning==1.6.1")
    monkeypatch.setattr(module, "_random_model", random_model)


@pytest.mark.usefixtures("torch_pruning")
@pytest.mark.parametrize("form", ["gin", "gnnnet", "hgpsl", "ness", "spline.eager"])
def test_cuts_of_torch_pruning_are_compared(form: str) -> None:
    assert traced_groups(form, SmallLaboratory()) == EXPECTED[form]  # pyright: ignore[reportArgumentType]


@pytest.mark.usefixtures("torch_pruning")
def test_a_group_that_lacks_a_slice_is_told_from_the_right_one(monkeypatch: pytest.MonkeyPatch) -> None:
    layout = channel_layout(random_model("gnnnet", TASKS["gnnnet"]))

    def without_a_bias(settings: object) -> tuple[ChannelGroup, ...]:
        first, *others = layout.groups(settings)
        slices = tuple(part for part in first.slices if part != ChannelSlice("gnn_layers.0.bias", 0))
        return (replace(first, slices=slices), *others)

    monkeypatch.setattr(module, "channel_layout", lambda _: ChannelLayout(without_a_bias, layout.narrow))
    outcomes = traced_groups("gnnnet", SmallLaboratory())  # pyright: ignore[reportArgumentType]
    assert list(outcomes.values()) == ["cuts otherwise: gnn_layers.0.bias", SAME, SAME]

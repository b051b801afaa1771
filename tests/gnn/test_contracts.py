"""Our models, models that nobody here wrote, and our methods keep the contracts of gnn.testing."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from gnn.compression import (
    L2,
    A2q,
    Bf16,
    DegreeQuant,
    FineGrained,
    GlobalMagnitude,
    Gradual,
    Hybrid,
    LotteryTicket,
    PostTraining,
    Qat,
    Structured,
    TrainingContext,
)
from gnn.models import MODELS
from gnn.testing import METHOD_CHECKS, MODEL_CHECKS, SETTINGS_CHECKS, check_method, check_model, report
from tests.gnn.five_models import FIVE_MODELS, random_model
from tests.gnn.foreign_models import BUILD, FOREIGN_MODELS, foreign_model
from tests.gnn.toy_quantization import task_for, tasks_of_every_kind, toy_context

OURS = sorted(MODELS)
# A norm over channels or a choice among nodes, no hidden channels, outputs that are not those of one forward pass.
NOT_NARROWED = ("sage-layer-norm", "our hgpsl", "our ness", "our walkpooling")
# What a pass does not do with shapes alone.
NEEDS_NUMBERS = ("gcn", "gcn-jk-cat", "gat", "gat-jk-cat", "gat-v2", "residual-gcn", "jumping-gin")
# The instance normalisation of PyG refuses a single node.
BROKEN = {("edge-cnn-jk-max", "one-node"): "it raised ValueError: Expected more than 1 spatial element when training"}
SOME = ("gcn-jk-cat", "pna", "jumping-gin", "own")
TRAINED = (Qat(8), DegreeQuant(8), A2q(), L2(1e-3, 0.5), LotteryTicket(0.5), Gradual(0.5), Hybrid(GlobalMagnitude(0.5)))


def model_and_example(name: str) -> tuple[nn.Module, Any]:
    if not name.startswith("our "):
        return foreign_model(name)
    task = task_for(name.removeprefix("our "), tasks_of_every_kind())
    return random_model(name.removeprefix("our "), task), task


def not_applicable(name: str) -> set[str]:
    """The checks that do not apply to a model on a machine without CUDA."""
    ours = name.startswith("our ")
    one_graph = not BUILD[name][1] if not ours else MODELS[name[4:]].task_kinds != ("graph-classification",)
    applies = {
        "batch-of-one": not one_graph,
        "narrowed": name not in NOT_NARROWED,
        "quantized": name != "our walkpooling",
        "double-precision": not ours,
        "other-device": torch.cuda.is_available() or not (ours or name in NEEDS_NUMBERS),
    }
    return {check for check, does in applies.items() if not does}


@pytest.mark.parametrize("name", [*FOREIGN_MODELS, *(f"our {name}" for name in OURS)])
def test_a_model_keeps_the_contracts(name: str) -> None:
    found = report(check_model(*model_and_example(name)))
    expected = {check: said for (model, check), said in BROKEN.items() if model == name}
    assert found.failed.keys() == expected.keys(), f"\n{found}"
    assert all(found.failed[check].startswith(said) for check, said in expected.items())
    assert set(found.not_applicable) == not_applicable(name), f"\n{found}"
    assert len(found.held) + len(found.failed) + len(found.not_applicable) == len(MODEL_CHECKS)


def check(name: str, settings: Any, without: str = "", **subject: Any) -> None:  # noqa: ANN401
    """Whether a method keeps the contracts on one model, all of them but for those that its kind does not have."""
    found = report(each for each in check_method(settings, **subject) if each.name != f"{name}.{without}")
    assert not found.failed, f"\n{found}"
    quantizes = isinstance(settings, Qat | DegreeQuant | A2q | PostTraining | Hybrid | Bf16)
    applies = {
        "sparsity-as-asked": hasattr(settings, "sparsity"),
        "masks-are-zeros": not quantizes and not isinstance(settings, Structured),
        "integers": quantizes,
    }
    assert set(found.not_applicable) == {f"{name}.{check}" for check, does in applies.items() if not does}, f"\n{found}"
    assert len(found.held) + len(found.not_applicable) == len(SETTINGS_CHECKS) + len(METHOD_CHECKS) - bool(without)


# Channels are traced through every layer, and test_foreign_quantization calibrates all of these models.
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        *((name, Structured(0.5)) for name in FOREIGN_MODELS),
        *((name, each) for name in SOME for each in (GlobalMagnitude(0.5), FineGrained(0.5), PostTraining(8), Bf16())),
    ],
    ids=str,
)
def test_a_method_keeps_the_contracts_on_a_model_that_nobody_here_wrote(name: str, settings: Any) -> None:  # noqa: ANN401
    # To compress twice takes as long as all else.
    check(name, settings, without="deterministic", models={name: foreign_model(name)})


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        *((name, settings) for name in FIVE_MODELS for settings in (Structured(0.7), PostTraining(4), Bf16())),
        *((name, Structured(0.5, "taylor")) for name in ("gin", "ness")),
        *(("spline", settings) for settings in (GlobalMagnitude(0.5), FineGrained(0.5), *TRAINED)),
    ],
    ids=str,
)
def test_a_method_keeps_the_contracts_on_our_models(name: str, settings: Any, tmp_path: Path) -> None:  # noqa: ANN401
    task = task_for(name, tasks_of_every_kind())
    context = toy_context(name, task, tmp_path)
    model = random_model(name, task)
    check(name, settings, training=TrainingContext(**{**vars(context), "initial": lambda: copy.deepcopy(model)}))

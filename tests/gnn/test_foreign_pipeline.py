"""Every method on models that nobody here knows, from compression through the file to the compiled form."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from gnn import storage
from gnn.compression import FineGrained, GlobalMagnitude, LayerAdaptive, PostTraining, Structured, compress, sparsity_of
from gnn.determinism import deterministic
from gnn.quantization.agreement import Agreement
from gnn.quantization.description import Quantization
from gnn.quantization.integer_model import integer_weights, untouched_layers
from gnn.runtime import compile, explain  # noqa: A004
from gnn.runtime import untouched_layers as left_by_the_runtime
from tests.gnn.foreign_models import BUILD, FOREIGN_MODELS, foreign_model

Example = tuple[Any, ...]
Outcome = tuple[Any, dict[str, str]]


def by(settings: Any) -> Callable[[nn.Module, Example], Outcome]:  # noqa: ANN401
    def method(model: nn.Module, example: Example) -> Outcome:
        compressed = compress(model, settings, example=example)
        assert compressed.compressed_tensors > 0
        return compressed.model, dict(compressed.untouched)

    return method


def trained_for_integers(model: nn.Module, example: Example) -> Outcome:
    """A loop of one's own around fake quantization, as a user has it."""
    quantization = Quantization("range", 8)
    simulated: Any = quantization.apply(copy.deepcopy(model)).train()
    optimizer = torch.optim.Adam(simulated.parameters(), 1e-3)
    with deterministic(seed=0):
        for _ in range(3):
            optimizer.zero_grad()
            logits = simulated(*example)
            functional.cross_entropy(logits, torch.arange(len(logits)) % logits.shape[1]).backward()
            optimizer.step()
    integer = quantization.to_integers(simulated.eval())
    with torch.no_grad():
        found = Agreement.of(integer(*example), simulated(*example))
    assert found.classes == 1 or found.largest_difference < 0.05 * found.largest_logit
    return integer, untouched_layers(integer)


METHODS = {
    "global": by(GlobalMagnitude(0.5)),
    "fine-grained": by(FineGrained(0.5)),
    "layer-adaptive": by(LayerAdaptive(0.5)),
    "structured": by(Structured(0.5)),
    "post-training": by(PostTraining(8)),
    "qat": trained_for_integers,
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", FOREIGN_MODELS)
def test_a_foreign_model_goes_all_the_way(name: str, method: str, tmp_path: Path) -> None:
    model, example = foreign_model(name)
    before = copy.deepcopy(model.state_dict())
    small, untouched = METHODS[method](model, example)
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
    if method in ("global", "fine-grained", "layer-adaptive"):
        assert abs(sparsity_of(small)[0] - 0.5) < 0.05
    elif method == "structured":
        weights = [sum(p.numel() for p in of.parameters() if p.dim() > 1) for of in (small, model)]
        assert weights[0] <= 0.5 * weights[1]
    else:
        codes = set(integer_weights(small))
        left = {key for key, weight in model.named_parameters() if weight.dim() > 1} - codes
        assert codes
        assert all(any(key.startswith(f"{layer}.") for layer in untouched) for key in left), (left, untouched)
    assert all(untouched.values())

    storage.save(small, tmp_path / "model")
    loaded = storage.load(tmp_path / "model", build=BUILD[name][0]).model
    fast = compile(loaded, example)
    with torch.no_grad():
        expected, found, compiled = small(*example), loaded(*example), fast(*example)
    assert torch.equal(found, expected)
    torch.testing.assert_close(compiled, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
    assert all(explain(fast).values())


def test_the_runtime_lists_the_layers_without_a_kernel_and_no_others() -> None:
    left = left_by_the_runtime(foreign_model("gat")[0])
    assert set(left) == {"convs.0", "convs.1", "convs.2"}
    assert all(reason.startswith("GATConv has no rule of lower; add one with ") for reason in left.values())
    assert left_by_the_runtime(foreign_model("gcn")[0]) == {}

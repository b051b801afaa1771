"""The compiled NESS computes what the model computes, on less."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from gnn.compression import FineGrained, GlobalMagnitude, compress
from gnn.models.ness import Ness
from gnn.runtime import compile_inference
from gnn.runtime.ness import NessInference
from gnn.tasks import LinkPrediction
from gnn.training import outputs_of
from tests.gnn.citation_checks import NO_EDGES, link_task, new_model


@pytest.fixture(scope="module")
def task() -> LinkPrediction:
    return link_task()


def new_ness(task: LinkPrediction, **change: Any) -> Ness:  # noqa: ANN401
    model = new_model("ness", task)
    assert isinstance(model, Ness)
    changed = Ness(replace(model.settings, **change))
    changed.load_state_dict(model.state_dict())
    return changed.eval()


def assert_compiled(model: Ness, task: LinkPrediction) -> NessInference:
    """Compile the model and compare its logits with the model's own."""
    expected = outputs_of(model, task, model.prepare(task), "test")
    assert expected.shape == (len(task.test.labels),)
    inference = compile_inference("ness", model, task)
    assert isinstance(inference, NessInference)
    torch.testing.assert_close(inference(), expected, rtol=0, atol=1e-5)
    return inference


@pytest.mark.parametrize("method", [GlobalMagnitude, FineGrained])
@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9, 0.99])
def test_logits_are_those_of_the_model(
    task: LinkPrediction, method: type[GlobalMagnitude] | type[FineGrained], sparsity: float
) -> None:
    model = new_ness(task)
    model = compress(model, method(sparsity)).model
    inference = assert_compiled(model, task)
    words = int((model.lin.weight != 0).any(dim=0).sum())
    assert inference.features.shape == (60, words)
    assert inference.weight.shape == (words, 32)
    if sparsity == 0.99:
        assert words < 40
        assert len(inference.features.value) < len(task.features.value)


@pytest.mark.parametrize("subgraphs", [1, 2, 4])
def test_any_number_of_subgraphs_is_one_product(task: LinkPrediction, subgraphs: int) -> None:
    inference = assert_compiled(new_ness(task, subgraphs=subgraphs), task)
    assert len(inference.adjacency.value) == task.edge_index.shape[1] + task.nodes


def test_a_graph_without_edges_and_a_model_without_weights(task: LinkPrediction) -> None:
    model = new_ness(task)
    assert_compiled(model, link_task(NO_EDGES))
    with torch.no_grad():
        model.lin.weight.zero_()
    assert assert_compiled(model, task).weight.shape == (0, 32)


def test_calls_repeat_need_no_gradient_and_do_not_follow_the_model(task: LinkPrediction) -> None:
    model = new_ness(task)
    inference = assert_compiled(model.train(), task)
    first = inference()
    kept = first.clone()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(7.0)
    assert torch.equal(inference(), kept)
    assert torch.equal(first, kept)
    assert not first.requires_grad


def test_calling_changes_neither_model_nor_task(task: LinkPrediction) -> None:
    model = new_ness(task)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    sha256 = task.to("cpu").sha256
    assert_compiled(model, task)()
    assert task.to("cpu").sha256 == sha256
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())

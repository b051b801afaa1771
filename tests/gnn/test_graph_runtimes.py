"""The compiled GIN and GNNNet and the yardsticks from PyG's layers compute what the models compute."""

import pytest
import torch
from torch import Tensor, nn

from bench.yardsticks import EAGER
from gnn.models import GraphModel, build_model
from gnn.runtime import compile_inference
from gnn.runtime.gin import GinInference
from gnn.runtime.gnnnet import GnnNetInference
from gnn.tasks import GraphClassification
from tests.gnn.random_graphs import random_task

COMPILED = {"gin": GinInference, "gnnnet": GnnNetInference}


@pytest.fixture(scope="module")
def task() -> GraphClassification:
    return random_task()


@pytest.fixture(params=sorted(COMPILED))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=["none", "asinh"])
def model(name: str, request: pytest.FixtureRequest, task: GraphClassification) -> GraphModel:
    """A model whose biases matter and whose BatchNorms do something, some with a negative scale."""
    torch.manual_seed(0)
    model = sized(name, task, feature_scaling=request.param)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.uniform_(0.0, 2.0)
            module.running_var.uniform_(0.5, 3.0)
    return model.eval()


def sized(name: str, task: GraphClassification, **change: object) -> GraphModel:
    """A model of 16 hidden channels."""
    sizes = {"in_channels": task.feature_count, "out_channels": task.output_count, "hidden_channels": 16}
    return build_model(name, sizes | change)


@torch.no_grad()
def own_logits(model: GraphModel, task: GraphClassification) -> Tensor:
    return model(task.batch("test"))


def test_logits_are_those_of_the_model(name: str, model: GraphModel, task: GraphClassification) -> None:
    expected = own_logits(model, task)
    assert expected.std(dim=0).min() > 0.05
    inference = compile_inference(name, model, task)
    assert isinstance(inference, COMPILED[name])
    torch.testing.assert_close(inference(), expected, rtol=1e-5, atol=1e-5)


def test_yardstick_is_the_model(name: str, model: GraphModel, task: GraphClassification) -> None:
    torch.testing.assert_close(EAGER[name](model, task)(), own_logits(model, task), rtol=1e-5, atol=1e-5)


def test_one_convolution_is_compiled_too(name: str, task: GraphClassification) -> None:
    torch.manual_seed(0)
    model = sized(name, task, layers=1).eval()
    torch.testing.assert_close(compile_inference(name, model, task)(), own_logits(model, task), rtol=1e-5, atol=1e-5)


def test_a_model_in_training_mode_is_compiled_as_it_evaluates(
    name: str, model: GraphModel, task: GraphClassification
) -> None:
    expected = own_logits(model, task)
    model.train()
    torch.testing.assert_close(compile_inference(name, model, task)(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(EAGER[name](model, task)(), expected, rtol=1e-5, atol=1e-5)
    assert model.training


def test_calls_repeat_and_changing_the_model_afterwards_changes_nothing(
    name: str, model: GraphModel, task: GraphClassification
) -> None:
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    inferences = [compile_inference(name, model, task), EAGER[name](model, task)]
    before = [inference().clone() for inference in inferences]
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.fill_(7)
    for inference, logits in zip(inferences, before, strict=True):
        assert torch.equal(inference(), logits)
        assert not inference().requires_grad

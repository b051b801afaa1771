"""The compiled model computes what the model computes, on less."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gnn.compression import FineGrained, GlobalMagnitude, compress
from gnn.errors import UnknownNameError
from gnn.layers import SplineConvolution
from gnn.models import GraphModel
from gnn.models.spline import SplineInputs, SplineNet
from gnn.runtime import compile_inference, model_inference
from gnn.runtime.spline import SplineInference
from gnn.tasks import NodeClassification
from gnn.training import outputs_of

NewModel = Callable[[int], GraphModel]


@pytest.fixture
def model(new_model: NewModel) -> SplineNet:
    """A model whose biases matter."""
    model = new_model(0)
    assert isinstance(model, SplineNet)
    with torch.no_grad():
        model.conv1.bias.normal_(generator=torch.Generator().manual_seed(1))  # pyright: ignore
        model.conv2.bias.normal_(generator=torch.Generator().manual_seed(2))  # pyright: ignore
    return model


def own_logits(model: GraphModel, task: NodeClassification) -> Tensor:
    model.eval()
    with torch.no_grad():
        return model(model.prepare(task))


def compile_spline(model: GraphModel, task: NodeClassification) -> SplineInference:
    inference = compile_inference("spline", model, task)
    assert isinstance(inference, SplineInference)
    return inference


def used_words(model: SplineNet) -> int:
    assert model.conv1.lin is not None
    kernel = (model.conv1.weight != 0).any(dim=2).any(dim=0)
    return int((kernel | (model.conv1.lin.weight != 0).any(dim=0)).sum())


@pytest.mark.parametrize("method", [GlobalMagnitude, FineGrained])
@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9, 0.99, 0.999])
def test_logits_are_those_of_the_model(
    model: SplineNet,
    small_task: NodeClassification,
    method: type[GlobalMagnitude] | type[FineGrained],
    sparsity: float,
) -> None:
    model = compress(model, method(sparsity)).model
    inference = compile_spline(model, small_task)
    torch.testing.assert_close(inference(), own_logits(model, small_task), rtol=0, atol=1e-5)
    words = used_words(model)
    assert inference.features.shape == (210, words)
    assert inference.weight1.shape == (words, 48)
    if sparsity >= 0.99:
        assert words < 80
        assert len(inference.features.value) < len(small_task.graph.features.value)


def test_a_model_without_any_weight_is_compiled_too(model: SplineNet, small_task: NodeClassification) -> None:
    with torch.no_grad():
        model.conv1.weight.zero_()
        model.conv1.lin.weight.zero_()  # pyright: ignore
    inference = compile_spline(model, small_task)
    assert inference.weight1.shape == (0, 48)
    torch.testing.assert_close(inference(), own_logits(model, small_task), rtol=0, atol=1e-5)


def test_a_word_is_kept_as_long_as_one_weight_looks_at_it(model: SplineNet, small_task: NodeClassification) -> None:
    with torch.no_grad():
        model.conv1.weight[:, :10] = 0
        model.conv1.lin.weight[:, :10] = 0  # pyright: ignore
        model.conv1.lin.weight[3, 4] = -1e-30  # pyright: ignore
    inference = compile_spline(model, small_task)
    assert inference.weight1.shape == (71, 48)
    torch.testing.assert_close(inference(), own_logits(model, small_task), rtol=0, atol=1e-5)


def test_a_model_in_training_mode_is_compiled_without_dropout(model: SplineNet, small_task: NodeClassification) -> None:
    expected = own_logits(model, small_task)
    model.train()
    torch.testing.assert_close(compile_spline(model, small_task)(), expected, rtol=0, atol=1e-5)


def test_layers_without_a_bias_are_compiled(model: SplineNet, small_task: NodeClassification) -> None:
    model.conv1 = SplineConvolution(80, 16, [2], bias=False)
    model.conv2 = SplineConvolution(16, 7, [2], bias=False)
    inference = compile_spline(model, small_task)
    torch.testing.assert_close(inference(), own_logits(model, small_task), rtol=0, atol=1e-5)


def test_calls_repeat_and_need_no_gradient(model: SplineNet, small_task: NodeClassification) -> None:
    inference = compile_spline(model, small_task)
    first = inference()
    kept = first.clone()
    assert torch.equal(inference(), kept)
    assert torch.equal(first, kept)
    assert not first.requires_grad


def test_changing_the_model_afterwards_changes_nothing(model: SplineNet, small_task: NodeClassification) -> None:
    inference = compile_spline(model, small_task)
    before = inference().clone()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(7.0)
    assert torch.equal(inference(), before)


def test_calling_changes_neither_model_nor_task(model: SplineNet, small_task: NodeClassification) -> None:
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    sha256 = small_task.to("cpu").sha256
    inference = compile_spline(model, small_task)
    inference()
    inference()
    assert small_task.to("cpu").sha256 == sha256
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, state[name])


def test_an_unknown_runtime_is_refused(model: SplineNet, small_task: NodeClassification) -> None:
    with pytest.raises(UnknownNameError, match=r"^unknown runtime 'splin'; valid are: .*spline"):
        compile_inference("splin", model, small_task)


def test_a_model_without_a_runtime_runs_as_it_is(model: SplineNet, small_task: NodeClassification) -> None:
    expected = outputs_of(model, small_task, model.prepare(small_task), "test")
    model.train()
    inference = model_inference(model, small_task)
    assert not model.training
    first = inference()
    assert torch.equal(first, expected)
    assert first.shape == (50, 7)
    assert torch.equal(inference(), first)
    assert not first.requires_grad


def test_a_model_is_prepared_for_its_inference_once(
    model: SplineNet, small_task: NodeClassification, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared: list[NodeClassification] = []
    prepare = model.prepare

    def note(task: NodeClassification) -> SplineInputs:
        prepared.append(task)
        return prepare(task)

    monkeypatch.setattr(model, "prepare", note)
    inference = model_inference(model, small_task)
    inference()
    inference()
    assert prepared == [small_task]

"""Quantizers reach every weight of every registered model, and its passes still run."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gnn.determinism import deterministic
from gnn.errors import SettingError
from gnn.layers.rules import quantized
from gnn.models import MODELS, GraphModel, build_model_for
from gnn.quantization.channel_scheme import ChannelScheme
from gnn.quantization.node_group_scheme import NodeGroupScheme
from gnn.quantization.quantized_model import quantize_model, quantized_weights, weights_in_fp32
from gnn.quantization.range_scheme import RangeScheme
from gnn.quantization.scheme import Scheme, Site
from gnn.quantization.tensor_quantizer import TensorQuantizer, TensorQuantizerSettings
from gnn.tasks import Task
from gnn.training import fit
from gnn.training_settings import TrainingSettings
from tests.gnn.citation_checks import link_task
from tests.gnn.conftest import build_small_task
from tests.gnn.five_models import outputs_on_test
from tests.gnn.random_graphs import random_task

NAMES = sorted(MODELS)
SCHEMES: dict[str, Scheme] = {
    "range-8": RangeScheme(TensorQuantizerSettings(8)),
    "range-4": RangeScheme(TensorQuantizerSettings(4, "gradient-clipping")),
    "channel": ChannelScheme(TensorQuantizerSettings(8)),
    "node-group": NodeGroupScheme(4, 50, frozenset()),
}
WEIGHTS = {"gin": 12, "gnnnet": 4, "hgpsl": 8, "ness": 1, "spline": 4, "supergat-readout": 7, "walkpooling": 12}
PLACES = {
    *("lin.product.inputs", "lin.product.features", "updates"),
    *("aggregation.messages", "aggregation.norms", "aggregation.aggregates"),
}


@pytest.fixture(scope="module")
def tasks() -> dict[str, Task]:
    """A small task of every kind."""
    return {task.kind: task for task in (random_task(), build_small_task(), link_task())}


def task_of(name: str, tasks: dict[str, Task]) -> Task:
    return tasks[MODELS[name].task_kinds[0]]


def new_model(name: str, task: Task) -> GraphModel:
    with deterministic(0):
        return build_model_for(name, task)


def train(model: GraphModel, task: Task, steps: int = 1) -> None:
    """Some steps in training mode; all losses are finite."""
    inputs = model.prepare(task)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    model.train()
    for _ in range(steps):
        for loss in model.losses(task, inputs, 16):
            assert loss.isfinite()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def ranges(model: nn.Module) -> dict[str, tuple[float, float]]:
    """What the quantizers saw, by name."""
    return {
        name: (float(module.minimum), float(module.maximum))
        for name, module in model.named_modules()
        if isinstance(module, TensorQuantizer)
    }


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", NAMES)
def test_every_weight_is_quantized_and_both_passes_run(name: str, scheme: str, tasks: dict[str, Task]) -> None:
    task = task_of(name, tasks)
    with deterministic(0):
        model = new_model(name, task)
        plain = outputs_on_test(model, task)
        weights = {weight: parameter for weight, parameter in model.named_parameters() if parameter.dim() >= 2}
        assert len(weights) == WEIGHTS.get(name, len(weights))
        assert quantize_model(model, SCHEMES[scheme]) is model
        assert weights_in_fp32(model) == []
        assert quantized_weights(model).keys() == weights.keys()
        kept = {id(parameter) for parameter in model.parameters()}
        assert all(id(weight) in kept for weight in weights.values())
        train(model, task)
        outputs = outputs_on_test(model, task)
    assert outputs.isfinite().all()
    assert outputs.shape == plain.shape
    assert (outputs != plain).any()


def flat(prepared: Any) -> list[Tensor]:  # noqa: ANN401
    """All tensors that something prepared holds."""
    if isinstance(prepared, Tensor):
        return [prepared]
    parts = prepared.values() if isinstance(prepared, dict) else getattr(prepared, "__dict__", {}).values()
    return [tensor for part in parts for tensor in flat(part)]


@pytest.mark.parametrize("name", NAMES)
def test_it_prepares_a_task_as_the_plain_model_does(name: str, tasks: dict[str, Task]) -> None:
    task = task_of(name, tasks)
    plain = flat(new_model(name, task).prepare(task))
    quantized = flat(quantize_model(new_model(name, task), SCHEMES["range-8"]).prepare(task))
    assert len(plain) == len(quantized) > 0
    assert all(torch.equal(one, other) for one, other in zip(plain, quantized, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_near_those_in_fp32_but_not_the_same(name: str, tasks: dict[str, Task]) -> None:
    """Weights that did not learn between, so that nothing but the quantizers makes a difference."""
    task = task_of(name, tasks)
    model = new_model(name, task)
    plain = outputs_on_test(model, task)
    errors = []
    for bits in (8, 3):
        quantized = quantize_model(new_model(name, task), RangeScheme(TensorQuantizerSettings(bits)))
        with torch.no_grad():
            quantized.eval()
            for module in quantized.modules():
                if isinstance(module, TensorQuantizer):
                    module.train()
            for part in ("train", "test"):
                quantized.outputs(task, quantized.prepare(task), part)
        errors.append(float((outputs_on_test(quantized, task) - plain).abs().max()))
    assert 0 < errors[0] < errors[1]
    assert errors[0] < 0.5 * float(plain.abs().max())


@pytest.mark.parametrize("name", NAMES)
def test_weights_learn_and_ranges_follow_in_training_only(name: str, tasks: dict[str, Task]) -> None:
    task = task_of(name, tasks)
    model = quantize_model(new_model(name, task), SCHEMES["range-8"])
    before = {key: parameter.detach().clone() for key, parameter in model.named_parameters()}
    with deterministic(0):
        train(model, task, steps=2)
        seen = ranges(model)
        outputs_on_test(model, task)
    assert ranges(model) == seen
    originals = [key for key in before if "parametrizations" in key]
    assert originals
    assert all((model.get_parameter(key) != before[key]).any() for key in originals)
    assert all(low <= high for key, (low, high) in seen.items() if "parametrizations" in key)


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_works_and_is_independent(name: str, tasks: dict[str, Task]) -> None:
    task = task_of(name, tasks)
    with deterministic(0):
        model = quantize_model(new_model(name, task), SCHEMES["range-8"])
        train(model, task)
        outputs, seen = outputs_on_test(model, task), ranges(model)
        other = copy.deepcopy(model)
        assert torch.equal(outputs_on_test(other, task), outputs)
        train(other, task, steps=2)
        assert torch.equal(outputs_on_test(model, task), outputs)
        assert ranges(model) == seen != ranges(other)
    shared = set(map(id, model.modules())) & set(map(id, other.modules()))
    assert not shared


@pytest.mark.parametrize("name", NAMES)
def test_the_state_is_that_of_another_model_of_the_same_structure(name: str, tasks: dict[str, Task]) -> None:
    task = task_of(name, tasks)
    with deterministic(0):
        model = quantize_model(new_model(name, task), SCHEMES["range-8"])
        train(model, task)
        other = quantize_model(new_model(name, task), SCHEMES["range-8"])
        other.load_state_dict(copy.deepcopy(model.state_dict()))
        assert torch.equal(outputs_on_test(other, task), outputs_on_test(model, task))


@pytest.mark.parametrize("name", NAMES)
def test_fit_trains_it_with_the_recipe_of_the_model(name: str, tasks: dict[str, Task]) -> None:
    """The preconditioner of SSP included."""
    task, recipe = task_of(name, tasks), MODELS[name].recipe.training
    settings = TrainingSettings(0.01, 0.0, epochs=2, patience=2, preconditioner=recipe.preconditioner)
    fitted = fit(quantize_model(new_model(name, task), SCHEMES["range-8"]), task, settings, seed=0)
    assert fitted.epochs == 2


EXEMPT = {"gin": ("convs.0.nn.0", "lin2"), "gnnnet": ("mlps.0",), "hgpsl": ("conv1.lin", "pool2"), "graphsage": ()}


@pytest.mark.parametrize("name", EXEMPT)
def test_exempt_layers_keep_their_weights_in_fp32(name: str, tasks: dict[str, Task]) -> None:
    task = task_of(name, tasks)
    exempt = EXEMPT[name] or ("conv2.lin_l",)
    model = new_model(name, task)
    kinds = {layer: type(model.get_submodule(layer)) for layer in exempt}
    before = {weight for weight, parameter in model.named_parameters() if parameter.dim() >= 2}
    quantize_model(model, SCHEMES["range-8"], exempt)
    left = set(weights_in_fp32(model))
    assert left == {weight for weight in before if weight.rpartition(".")[0] in exempt}
    assert len(left) == len(exempt)
    assert left | quantized_weights(model).keys() == before
    assert {layer: type(model.get_submodule(layer)) for layer in exempt} == kinds
    train(model, task)
    assert outputs_on_test(model, task).isfinite().all()


def test_a_layer_that_does_not_exist_cannot_be_exempt(tasks: dict[str, Task]) -> None:
    model = new_model("gin", task_of("gin", tasks))
    with pytest.raises(SettingError) as caught:
        quantize_model(model, SCHEMES["range-8"], ["lin1", "lin3"])
    assert str(caught.value) == "layer 'lin3' is to stay in FP32, but Gin has no such layer"
    assert quantized_weights(model) == {}


class Rotation(nn.Module):
    """A layer that nobody quantizes."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.ones(shape))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.matrix


class ToyNet(GraphModel):
    """A linear layer and another one."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.first, self.strange = nn.Linear(3, 3), Rotation(*shape)

    def forward(self, x: Tensor) -> Tensor:
        return self.strange(self.first(x))


def test_a_layer_without_a_rule_stays_in_fp32_and_alone_it_is_refused() -> None:
    model = quantize_model(ToyNet(3, 3), SCHEMES["range-8"])
    assert weights_in_fp32(model) == ["strange.matrix"]
    assert quantized_weights(model).keys() == {"first.weight"}
    with pytest.raises(SettingError) as caught:
        quantize_model(ToyNet(3, 3), SCHEMES["range-8"], ["first"])
    assert str(caught.value) == (
        "nothing of ToyNet can be quantized: layer 'strange' stays in FP32, as Rotation has no rule of quantized; add "
        "one with @gnn.layers.rules.quantized.register(Rotation)"
    )


def test_a_type_from_outside_is_added_by_one_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantized, "_rules", dict(quantized._rules))

    class QuantizedRotation(Rotation):
        def add_quantizers(self, scheme: Scheme) -> None:
            self.inputs = scheme.for_site(Site("inputs"))

    @quantized.register(Rotation)
    def _rotation(_layer: Rotation) -> type[nn.Module]:
        return QuantizedRotation

    model = quantize_model(ToyNet(3, 3), SCHEMES["range-8"])
    assert weights_in_fp32(model) == []
    assert isinstance(model.strange, QuantizedRotation)
    assert quantized_weights(model).keys() == {"first.weight", "strange.matrix"}


@pytest.mark.parametrize(
    ("scheme", "places"),
    [
        ("range-8", PLACES),
        ("channel", {"lin.product.inputs"}),
        ("node-group", {"lin.product.inputs", "aggregation.messages"}),
    ],
)
def test_the_scheme_decides_what_is_quantized_besides_weights(
    scheme: str, places: set[str], tasks: dict[str, Task]
) -> None:
    model = quantize_model(new_model("gnnnet", task_of("gnnnet", tasks)), SCHEMES[scheme])
    layer = model.get_submodule("gnn_layers.1")
    found = {place for place in PLACES if not isinstance(layer.get_submodule(place), nn.Identity)}
    assert found == places


@pytest.mark.parametrize(("name", "exempt"), [("graphconv", "conv1"), ("gin", "convs.0")])
def test_exempting_a_layer_exempts_everything_in_it(name: str, exempt: str, tasks: dict[str, Task]) -> None:
    task = task_of(name, tasks)
    plain = new_model(name, task)
    model = quantize_model(new_model(name, task), SCHEMES["range-8"], [exempt])
    inside = {key for key, value in plain.named_parameters() if value.dim() >= 2 and key.startswith(f"{exempt}.")}
    assert set(weights_in_fp32(model)) == inside != set()
    kinds = [[type(module) for module in each.get_submodule(exempt).modules()] for each in (plain, model)]
    assert kinds[0] == kinds[1]
    assert any(key.startswith(f"{exempt[:-1]}{int(exempt[-1]) + 1}.") for key in quantized_weights(model))
    train(model, task)
    assert outputs_on_test(model, task).isfinite().all()

"""A2Q: what learns at which rate, what memory costs, and which inputs have no sign."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gnn.case import Case
from gnn.compression import A2q, TrainingContext, compress
from gnn.compression.a2q import memory_penalty, parameter_groups
from gnn.determinism import deterministic
from gnn.models import MODELS, GraphModel, build_model_for
from gnn.quantization.description import Quantization
from gnn.quantization.integer_model import integer_weights, is_integer
from gnn.quantization.learned_quantizer import ChannelQuantizer, NodeQuantizer
from gnn.quantization.quantized_model import nonnegative_inputs
from gnn.tasks import Task
from tests.gnn.random_graphs import random_task
from tests.gnn.toy_quantization import task_for, tasks_of_every_kind, toy_context, trained_model

NAMES = ("gin", "hgpsl", "ness", "spline", "graphconv", "gnnnet", "gcn", "walkpooling")


@pytest.fixture(scope="module")
def tasks() -> dict[str, Task]:
    return tasks_of_every_kind()


@pytest.fixture
def new_context(tasks: dict[str, Task], tmp_path: Path) -> Callable[[str], TrainingContext]:
    """A function that gives the training context of a model; what a method remembers is kept for the test."""
    return lambda name: toy_context(name, task_for(name, tasks), tmp_path)


def test_a2q_has_one_setting_and_one_id() -> None:
    assert Case("proteins", "gin", A2q()).id == "proteins.gin.a2q"
    assert A2q().compresses


@pytest.mark.parametrize("bits", range(2, 8))
def test_a2q_starts_with_all_bit_widths_that_it_takes(bits: int, new_context: Callable[[str], TrainingContext]) -> None:
    context = new_context("gin")
    compressed = compress(context.initial(), A2q(bits), context)
    assert is_integer(compressed.model)
    assert {weight.bit_width for weight in integer_weights(compressed.model).values()} == {bits}


def test_a2q_asks_the_trained_model_which_inputs_have_no_sign(new_context: Callable[[str], TrainingContext]) -> None:
    context = new_context("gin")
    model = trained_model("gin", context.task)
    expected = nonnegative_inputs(copy.deepcopy(model), context.task)
    assert nonnegative_inputs(context.initial(), context.task) != expected
    compressed = compress(model, A2q(), context)
    assert compressed.model.quantization is not None
    assert compressed.model.quantization.nonnegative == expected


def of_groups(name: str, tasks: dict[str, Task]) -> GraphModel:
    quantization = Quantization("node-group", 4, MODELS[name].fp32_layers, groups=30)
    return quantization.apply(build_model_for(name, tasks[MODELS[name].task_kinds[0]]))


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_that_learns_is_in_one_group_of_its_rate(name: str, tasks: dict[str, Task]) -> None:
    model = of_groups(name, tasks)
    rates: dict[int, Any] = {}
    for group in parameter_groups(model):
        for parameter in group["params"]:
            assert id(parameter) not in rates
            rates[id(parameter)] = (group.get("lr"), group.get("weight_decay"))
    learning = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    assert rates.keys() == learning
    steps = {id(m.step_size) for m in model.modules() if isinstance(m, NodeQuantizer | ChannelQuantizer)}
    bits = {id(m.bit) for m in model.modules() if isinstance(m, NodeQuantizer)}
    still = {id(m.bit) for m in model.modules() if isinstance(m, ChannelQuantizer)}
    assert {rates[step] for step in steps} <= {(0.02, 0.0), (0.01, 0.0)}
    assert {rates[bit] for bit in bits} == {(0.008, 0.0)}
    assert not still & rates.keys()
    assert {rates[other] for other in learning - steps - bits} == {(None, None)}


def test_step_sizes_of_messages_learn_at_half_the_rate(tasks: dict[str, Task]) -> None:
    model = of_groups("gnnnet", tasks)
    rates = {id(group["params"][0]): group.get("lr") for group in parameter_groups(model)}
    layer: Any = model.get_submodule("gnn_layers.1")
    assert rates[id(layer.aggregation.messages.step_size)] == 0.01
    assert rates[id(layer.lin.product.inputs.step_size)] == 0.02
    assert rates[id(layer.lin.parametrizations.weight[0].step_size)] == 0.02


def test_only_memory_above_the_target_costs_something(tasks: dict[str, Task]) -> None:
    model, batch = of_groups("gnnnet", tasks), next(iter(random_task().shuffled_batches(8)))
    with deterministic(0):
        model(batch)
    used = float(sum(m.memory_kb.detach() for m in model.modules() if isinstance(m, NodeQuantizer)))
    assert used > 0
    assert memory_penalty(model, A2q(4, 0.5, used + 1))().item() == 0
    penalty = memory_penalty(model, A2q(4, 0.5, used / 2))()
    assert penalty.item() == pytest.approx(0.5 * (used / 2) ** 2, rel=1e-4)
    penalty.backward()
    bits: Any = model.get_submodule("mlps.0.product.inputs").bit
    assert (bits.grad > 0).any()

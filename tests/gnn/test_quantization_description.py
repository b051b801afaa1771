"""How a model was quantized survives a file, and an empty model takes the state of a converted one."""

import copy
import json
from operator import attrgetter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gnn.determinism import deterministic
from gnn.errors import SettingError
from gnn.models import MODELS, GraphModel, build_model_for
from gnn.quantization.channel_scheme import ChannelScheme
from gnn.quantization.degree_protection import DegreeProtection
from gnn.quantization.description import Quantization, empty_integer_model
from gnn.quantization.integer_kernels import pack_codes, unpack_codes
from gnn.quantization.integer_model import dequantized_state, integer_weights, is_integer
from gnn.quantization.node_group_scheme import NodeGroupScheme
from gnn.quantization.quantized_model import nonnegative_inputs, quantized_weights, weights_in_fp32
from gnn.quantization.range_scheme import RangeScheme
from gnn.quantization.tensor_quantizer import TensorQuantizer, TensorQuantizerSettings
from gnn.tasks import Task
from gnn.training import fit
from gnn.training_settings import TrainingSettings
from tests.gnn.citation_checks import link_task
from tests.gnn.conftest import build_small_task
from tests.gnn.random_graphs import random_task

DESCRIPTIONS = {
    "range-8": Quantization("range", 8),
    "range-4": Quantization("range", 4),
    "range-5": Quantization("range", 5),
    "channel": Quantization("channel", 8),
    "node-group": Quantization("node-group", 4, groups=60),
}
NAMES = ("gin", "gnnnet", "graphconv", "hgpsl", "ness", "spline")
GIN = Quantization(
    "node-group",
    4,
    fp32_layers=("convs.0.nn.0",),
    fp32_sites=("convs.0.aggregation.messages",),
    groups=60,
    nonnegative=("convs.0.nn.2", "lin2"),
)


@pytest.fixture(scope="module")
def tasks() -> dict[str, Task]:
    """A small task of every kind."""
    return {task.kind: task for task in (random_task(), build_small_task(), link_task())}


def task_of(name: str, tasks: dict[str, Task]) -> Task:
    return tasks[MODELS[name].task_kinds[0]]


def trained(name: str, quantization: Quantization, task: Task) -> GraphModel:
    """A quantized model after a few steps; the bits of its weights stay, as everywhere."""
    with deterministic(0):
        model = quantization.apply(build_model_for(name, task))
        for quantizer in quantized_weights(model).values():
            for parameter, tensor in quantizer.named_parameters():
                tensor.requires_grad = parameter != "bit"
        inputs, optimizer = model.prepare(task), torch.optim.Adam(model.parameters(), lr=0.02)
        for _ in range(3):
            for loss in model.losses(task, inputs, 16):
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    return model.eval()


@torch.no_grad()
def answers(model: GraphModel, task: Task, inputs: Any) -> Tensor:  # noqa: ANN401
    with deterministic(0):
        return model.outputs(task, inputs, "test")


@pytest.mark.parametrize("kind", DESCRIPTIONS)
@pytest.mark.parametrize("name", NAMES)
def test_an_empty_model_takes_the_state_of_a_converted_one(name: str, kind: str, tasks: dict[str, Task]) -> None:
    task, quantization = task_of(name, tasks), DESCRIPTIONS[kind]
    model = trained(name, quantization, task)
    integer, inputs = quantization.to_integers(model), model.prepare(task)
    assert integer.quantization == quantization
    assert model.quantization is None
    empty = empty_integer_model(build_model_for(name, task), Quantization(**roundtrip(quantization)))
    assert is_integer(empty)
    assert {key: (tensor.shape, tensor.dtype) for key, tensor in empty.state_dict().items()} == {
        key: (tensor.shape, tensor.dtype) for key, tensor in integer.state_dict().items()
    }
    empty.load_state_dict(copy.deepcopy(integer.state_dict()))
    assert empty.quantization == quantization
    assert torch.equal(answers(empty.eval(), task, inputs), answers(integer, task, inputs))


@pytest.mark.parametrize("kind", DESCRIPTIONS)
@pytest.mark.parametrize("name", NAMES)
def test_its_dequantized_state_is_that_of_a_plain_model(name: str, kind: str, tasks: dict[str, Task]) -> None:
    task = task_of(name, tasks)
    model = trained(name, DESCRIPTIONS[kind], task)
    plain = build_model_for(name, task)
    plain.load_state_dict(dequantized_state(DESCRIPTIONS[kind].to_integers(model)))
    for weight, parameter in plain.named_parameters():
        assert torch.equal(parameter, attrgetter(weight)(model))


def test_exempt_layers_and_places_stay_so_in_an_empty_model(tasks: dict[str, Task]) -> None:
    task = task_of("gin", tasks)
    model = trained("gin", GIN, task)
    integer, inputs = GIN.to_integers(model), model.prepare(task)
    empty = empty_integer_model(build_model_for("gin", task), GIN)
    for converted in (integer, empty):
        assert len(integer_weights(converted)) == 11
        assert "convs.0.nn.0.weight" in weights_in_fp32(converted)
        assert not hasattr(converted.get_submodule("convs.0.aggregation").messages, "codes")
    empty.load_state_dict(integer.state_dict())
    assert torch.equal(answers(empty.eval(), task, inputs), answers(integer, task, inputs))
    plain = build_model_for("gin", task)
    plain.load_state_dict(dequantized_state(integer))


def test_inputs_without_a_sign_have_a_bit_more(tasks: dict[str, Task]) -> None:
    model: Any = GIN.apply(build_model_for("gin", task_of("gin", tasks)))
    bits = {name: int(model.get_submodule(f"{name}.product.inputs").bit[0]) for name in ("lin1", *GIN.nonnegative)}
    assert bits == {"lin1": 4, "convs.0.nn.2": 5, "lin2": 5}
    assert len(model.lin1.product.inputs.bit) == 60


def test_the_description_of_a_converted_model_is_copied_with_it(tasks: dict[str, Task]) -> None:
    task, quantization = task_of("gnnnet", tasks), DESCRIPTIONS["range-8"]
    integer = quantization.to_integers(trained("gnnnet", quantization, task))
    other = copy.deepcopy(integer)
    assert other.quantization == quantization
    assert torch.equal(answers(other, task, other.prepare(task)), answers(integer, task, integer.prepare(task)))
    assert not set(map(id, other.modules())) & set(map(id, integer.modules()))


@pytest.mark.parametrize("used", [False, True])
def test_a_state_that_is_read_replaces_the_weights_in_use(used: bool, tasks: dict[str, Task]) -> None:
    task, quantization = task_of("gnnnet", tasks), DESCRIPTIONS["range-8"]
    one = quantization.to_integers(trained("gnnnet", quantization, task))
    other = quantization.to_integers(trained("gnnnet", quantization, random_task(seed=1)))
    inputs = one.prepare(task)
    expected = answers(other, task, inputs)
    if used:
        assert not torch.equal(answers(one, task, inputs), expected)
    one.load_state_dict(other.state_dict())
    assert torch.equal(answers(one, task, inputs), expected)


def test_a_learned_width_of_nine_bits_is_refused(tasks: dict[str, Task]) -> None:
    model = trained("gnnnet", DESCRIPTIONS["node-group"], task_of("gnnnet", tasks))
    quantizer: Any = model.get_submodule("mlps.0.product.inputs")
    with torch.no_grad():
        quantizer.bit[7] = 8.6
    with pytest.raises(SettingError, match=r"^a learned bit width is 9; at most 8 run on integers, so raise the mem"):
        DESCRIPTIONS["node-group"].to_integers(model)


def test_a_weight_that_needs_more_bits_than_it_may_have_is_refused(tasks: dict[str, Task]) -> None:
    four_bits = DESCRIPTIONS["range-4"]
    held = integer_weights(four_bits.to_integers(trained("ness", four_bits, task_of("ness", tasks))))
    quantizer = TensorQuantizer(TensorQuantizerSettings(5))
    weight = torch.randn(held["lin.weight"].shape)
    quantizer(weight)
    with pytest.raises(SettingError, match=r"^codes from -16 to 15 do not fit into 4 bits$"):
        held["lin.weight"].hold(quantizer, weight)


def roundtrip(quantization: Quantization) -> dict[str, Any]:
    return json.loads(json.dumps(quantization.mapping()))


@pytest.mark.parametrize("quantization", [*DESCRIPTIONS.values(), GIN])
def test_json_holds_all_of_it(quantization: Quantization) -> None:
    mapping = roundtrip(quantization)
    again = Quantization(**mapping)
    assert again == quantization
    assert hash(again) == hash(quantization)
    assert mapping.keys() == {"kind", "bit_width", "fp32_layers", "fp32_sites", "groups", "nonnegative"}


def test_a_kind_has_its_scheme() -> None:
    settings, protection = TensorQuantizerSettings(4, "gradient-clipping"), DegreeProtection(0.0, 0.1)
    of_range = Quantization("range", 4).scheme(settings, protection)
    assert isinstance(of_range, RangeScheme)
    assert (of_range.settings, of_range.protection) == (settings, protection)
    of_default: Any = Quantization("range", 6).scheme()
    assert of_default.settings == TensorQuantizerSettings(6)
    assert isinstance(Quantization("channel", 8).scheme(), ChannelScheme)
    of_groups = GIN.scheme()
    assert isinstance(of_groups, NodeGroupScheme)
    assert (of_groups.bit_width, of_groups.groups, of_groups.nonnegative) == (4, 60, {"convs.0.nn.2", "lin2"})


@pytest.mark.parametrize(
    ("field", "wrong", "sentence"),
    [
        ("kind", "log", "kind 'log' of quantization is unknown; valid are: range, channel, node-group, bfloat16"),
        ("kind", None, "kind None of quantization is unknown; valid are: range, channel, node-group, bfloat16"),
        ("kind", "bfloat16", "bit_width 8 is not that of bfloat16; give 16"),
        ("bit_width", 9, "bit_width 9 is outside 2 to 8; give a whole number of bits, such as 8"),
        ("bit_width", "8", "bit_width '8' is outside 2 to 8; give a whole number of bits, such as 8"),
        ("bit_width", True, "bit_width True is outside 2 to 8; give a whole number of bits, such as 8"),
        ("groups", 0, "groups 0 are outside 1 to 65536; give a number such as 1000"),
        ("groups", 2**16 + 1, "groups 65537 are outside 1 to 65536; give a number such as 1000"),
        ("groups", 10.0, "groups 10.0 are outside 1 to 65536; give a number such as 1000"),
        ("groups", True, "groups True are outside 1 to 65536; give a number such as 1000"),
        ("fp32_layers", "lin1", "fp32_layers 'lin1' must be names of layers"),
        ("fp32_sites", [1], "fp32_sites [1] must be names of layers"),
        ("nonnegative", None, "nonnegative None must be names of layers"),
    ],
)
def test_bad_fields_are_refused(field: str, wrong: object, sentence: str) -> None:
    with pytest.raises(SettingError) as caught:
        Quantization(**{"kind": "range", "bit_width": 8, field: wrong})  # pyright: ignore[reportArgumentType]
    assert str(caught.value) == sentence


def test_a_layer_that_does_not_exist_is_refused(tasks: dict[str, Task]) -> None:
    with pytest.raises(SettingError, match=r"^layer 'lin7' is to stay in FP32, but Gin has no such layer$"):
        Quantization("range", 8, fp32_layers=("lin7",)).apply(build_model_for("gin", task_of("gin", tasks)))


@pytest.mark.parametrize("site", ["lin1.product.input", "lin7.product.inputs", "lin1"])
def test_a_place_that_does_not_exist_is_refused(site: str, tasks: dict[str, Task]) -> None:
    with pytest.raises(SettingError, match=f"^place '{site}' is to stay in FP32, but nothing is quantized there"):
        Quantization("range", 8, fp32_sites=(site,)).apply(build_model_for("gin", task_of("gin", tasks)))


def test_a_range_model_with_messages_in_fp32_has_a_plain_state(tasks: dict[str, Task]) -> None:
    task = task_of("gin", tasks)
    quantization = Quantization("range", 8, fp32_sites=("convs.0.aggregation.messages",))
    build_model_for("gin", task).load_state_dict(
        dequantized_state(quantization.to_integers(trained("gin", quantization, task)))
    )


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.integers(1, 8), st.lists(st.integers(1, 7), min_size=1, max_size=3), st.integers(0, 999))
def test_packed_codes_are_unpacked_again(bits: int, shape: list[int], seed: int) -> None:
    codes = torch.randint(2**bits, shape, generator=torch.Generator().manual_seed(seed))
    packed = pack_codes(codes.float(), bits)
    assert packed.dtype == torch.uint8
    assert packed.shape == (codes.numel() if bits > 4 else -(-codes.numel() // 2),)
    assert torch.equal(unpack_codes(packed, bits, codes.shape), codes.to(torch.uint8))


def test_linear_layers_after_a_relu_have_inputs_that_are_never_negative(tasks: dict[str, Task]) -> None:
    task = task_of("gin", tasks)
    with deterministic(0):
        model = build_model_for("gin", task)
    # The first linear layer gets the features themselves, the others of its kind what a BatchNorm gives.
    fit(model, task, TrainingSettings(0.01, 0.0, epochs=4, patience=4, batch_size=16), seed=0)
    found = nonnegative_inputs(model, task)
    assert found == tuple(sorted([*(f"convs.{number}.nn.2" for number in range(5)), "lin2"]))
    assert not any(module._forward_pre_hooks for module in model.modules())
    ness = build_model_for("ness", task_of("ness", tasks))
    assert nonnegative_inputs(ness, task_of("ness", tasks)) == ()

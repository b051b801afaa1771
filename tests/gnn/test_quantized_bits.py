"""Bits of weights and of what products read are counted as they are held."""

from typing import Any

import pytest
import torch

from gnn.compression.quantized_bits import BitWidths, measured_bits
from gnn.models import GraphModel
from gnn.quantization.description import Quantization
from gnn.quantization.integer_model import plain_model
from gnn.quantization.learned_quantizer import NodeQuantizer
from gnn.tasks import Task
from tests.gnn.toy_quantization import initial_model, integer_model, task_for, tasks_of_every_kind

NAMES = ("gin", "spline", "ness", "hgpsl", "gnnnet")


@pytest.fixture(scope="module")
def tasks() -> dict[str, Task]:
    return tasks_of_every_kind()


def bits_of(model: GraphModel, task: Task) -> BitWidths:
    return measured_bits(model, plain_model(model), task)


def shares(model: GraphModel) -> tuple[int, int]:
    """Numbers in weights of two dimensions or more, and in all others, as biases are."""
    sizes = [(parameter.numel(), parameter.dim() >= 2) for parameter in plain_model(model).parameters()]
    return sum(size for size, matrix in sizes if matrix), sum(size for size, matrix in sizes if not matrix)


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("name", NAMES)
def test_a_model_of_one_width_has_it_everywhere_but_in_its_biases(name: str, bits: int, tasks: dict[str, Task]) -> None:
    task = task_for(name, tasks)
    model = integer_model(name, Quantization("range", bits), task)
    found = bits_of(model, task)
    matrices, others = shares(model)
    assert found.activations == bits
    assert found.weights == pytest.approx((bits * matrices + 32 * others) / (matrices + others))
    assert bits < found.weights < 32
    assert bits < found.mean < found.weights
    assert found.histogram is None
    assert not any(module._forward_hooks for module in model.modules())


def test_the_mean_weighs_weights_and_numbers_by_their_count(tasks: dict[str, Task]) -> None:
    task: Any = tasks["graph-classification"]
    model = integer_model("gnnnet", Quantization("range", 4), task)
    found = bits_of(model, task)
    batch = task.batch("test")
    graphs, nodes = len(batch.labels), len(batch.features)
    layers = plain_model(model)
    rows = {"gnn_layers": nodes, "mlps": graphs}
    linear = [(key, layer) for key, layer in layers.named_modules() if isinstance(layer, torch.nn.Linear)]
    numbers = sum(rows[key.partition(".")[0]] * layer.in_features for key, layer in linear)
    weights = sum(parameter.numel() for parameter in layers.parameters())
    assert found.mean == pytest.approx((found.weights * weights + 4 * numbers) / (weights + numbers))


def test_layers_in_fp32_count_32_bits(tasks: dict[str, Task]) -> None:
    task: Any = tasks["graph-classification"]
    everywhere = integer_model("gin", Quantization("range", 8), task)
    first_in_fp32 = integer_model("gin", Quantization("range", 8, ("convs.0.nn.0",)), task)
    before, after = bits_of(everywhere, task), bits_of(first_in_fp32, task)
    layer: Any = plain_model(everywhere).get_submodule("convs.0.nn.0")
    weights = sum(shares(everywhere))
    assert after.weights - before.weights == pytest.approx(24 * layer.weight.numel() / weights)
    batch = task.batch("test")
    nodes, graphs = len(batch.features), len(batch.labels)
    # Of ten layers on nodes the first reads 4 channels, the others 64, as do two on graphs.
    numbers = nodes * (4 + 9 * 64) + graphs * 2 * 64
    assert after.activations == pytest.approx(8 + 24 * 4 * nodes / numbers)


def of_groups(nonnegative: tuple[str, ...], task: Task) -> GraphModel:
    """A GIN whose groups have the bits that they started with."""
    quantization = Quantization("node-group", 4, groups=60, nonnegative=nonnegative)
    return quantization.to_integers(quantization.apply(initial_model("gin", task)))


def first_bits(model: GraphModel, layer: str) -> int:
    quantizer: Any = model.get_submodule(f"{layer}.product.inputs")
    return int(quantizer.bit[0])


def test_an_input_that_is_never_negative_counts_one_bit_less(tasks: dict[str, Task]) -> None:
    task = tasks["graph-classification"]
    signs = of_groups((), task)
    without = of_groups(("convs.0.nn.2", "lin2"), task)
    # They hold 5 bits each, of which one would be the sign.
    assert [first_bits(without, layer) for layer in ("lin1", "convs.0.nn.2", "lin2")] == [4, 5, 5]
    assert bits_of(signs, task).activations == bits_of(without, task).activations == 4
    assert without.quantization is not None
    without.quantization = Quantization("node-group", 4, groups=60)
    assert 4 < bits_of(without, task).activations < 5


def test_nodes_are_counted_by_their_degree_and_bits(tasks: dict[str, Task]) -> None:
    task: Any = tasks["graph-classification"]
    model = of_groups((), task)
    quantizer: Any = model.get_submodule("convs.0.nn.0.product.inputs")
    with torch.no_grad():
        quantizer.bit[::2] = 6
    found = bits_of(model, task)
    degrees = task.batch("test").adjacency.row_pointer.diff()
    groups = quantizer.last_group
    width = torch.where(groups % 2 == 0, 6, 4)
    on_nodes = sum(
        isinstance(module, NodeQuantizer) and len(module.last_group) == len(degrees) for module in model.modules()
    )
    assert on_nodes == 10
    expected: dict[str, dict[str, int]] = {}
    for degree in degrees.unique().tolist():
        of_degree = width[degrees == degree]
        counts = {4: 9 * len(of_degree) + int((of_degree == 4).sum()), 6: int((of_degree == 6).sum())}
        expected[str(degree)] = {str(bits): count for bits, count in counts.items() if count}
    assert found.histogram == expected
    assert sum(sum(widths.values()) for widths in expected.values()) == 10 * len(degrees)
    sixes, channels = int((width == 6).sum()), 4
    numbers = len(degrees) * (4 + 9 * 64) + len(task.batch("test").labels) * 2 * 64
    assert found.activations == pytest.approx(4 + 2 * sixes * channels / numbers)


@pytest.mark.parametrize(("name", "products_on_nodes"), [("spline", 1), ("ness", 0), ("hgpsl", 1), ("gnnnet", 3)])
def test_nodes_are_counted_where_a_product_reads_one_in_every_row(
    name: str, products_on_nodes: int, tasks: dict[str, Task]
) -> None:
    """Not where it reads the stored entries of a sparse matrix, nor where nodes were pooled away."""
    task: Any = task_for(name, tasks)
    found = bits_of(integer_model(name, Quantization("node-group", 4, groups=60), task), task)
    nodes = len(task.batch("test").features) if task.kind == "graph-classification" else 210
    counted = sum(sum(widths.values()) for widths in (found.histogram or {}).values())
    assert counted == products_on_nodes * nodes
    assert found.activations == 4

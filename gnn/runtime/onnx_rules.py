"""How each kernel, quantized layer and function of a trace is written in ONNX; anybody can add a rule."""

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from gnn.errors import SettingError
from gnn.layers.readout import max_readout
from gnn.layers.rules import lower
from gnn.quantization.fake_quantize import Grid
from gnn.quantization.integer_kernels import INT8_SHIFT
from gnn.quantization.integer_layers import IntegerAggregation, IntegerProduct
from gnn.quantization.layers import LinearQuantizers, QuantizedSplineConvolution
from gnn.quantization.product import Aggregation
from gnn.quantization.tensor_quantizer import TensorQuantizer
from gnn.runtime.kernels import KERNEL, Affine, Product, ScaleShift, aggregate, plus_own_row
from gnn.runtime.onnx_writer import Matrix, Name, Writer

Rule = Callable[..., Any]
ONNX: dict[Any, Rule] = {}
"""Rules by what a step calls: the type of a kernel or layer, a function, the name of a function of PyG or of a method.

A rule of a layer gets the writer, the layer and the arguments of its call; that of a function does not get the layer.
Tensors are `Name`s there, sparse matrices `Matrix`, and all else is as it was in the call.
"""


def exports(*called: Any) -> Callable[[Rule], Rule]:  # noqa: ANN401
    """Decorate the rule of what a step of a trace may call."""

    def decorate(rule: Rule) -> Rule:
        ONNX.update(dict.fromkeys(called, rule))
        return rule

    return decorate


def rule_of(layer: nn.Module) -> Rule | None:
    """The rule of a layer's type, or of the closest type that it is made of."""
    return next((ONNX[kind] for kind in type(layer).__mro__ if kind in ONNX), None)


def _elementwise(operation: str) -> Rule:
    def rule(write: Writer, *values: Any, **_: Any) -> Name:  # noqa: ANN401
        names = [value if isinstance(value, Name) else write.number(float(value)) for value in values]
        return write.add(operation, *names)

    return rule


def _elu(write: Writer, values: Name, alpha: float = 1.0, *_: Any, **__: Any) -> Name:  # noqa: ANN401
    return write.add("Elu", values, alpha=float(alpha))


def _leaky(write: Writer, values: Name, negative_slope: float = 0.01, *_: Any, **__: Any) -> Name:  # noqa: ANN401
    return write.add("LeakyRelu", values, alpha=float(negative_slope))


def _identity(_write: Writer, values: Any, *_: Any, **__: Any) -> Any:  # noqa: ANN401
    return values


def _of_layer(rule: Rule, *settings: str) -> Rule:
    return lambda write, layer, values: rule(write, values, *(getattr(layer, name) for name in settings))


exports(torch.relu, functional.relu, functional.relu_, "relu")(_elementwise("Relu"))
exports(torch.sigmoid, functional.sigmoid, "sigmoid")(_elementwise("Sigmoid"))
exports(torch.tanh, functional.tanh, "tanh")(_elementwise("Tanh"))
exports(torch.asinh)(_elementwise("Asinh"))
exports(operator.add, torch.add)(_elementwise("Add"))
exports(operator.sub, torch.sub)(_elementwise("Sub"))
exports(operator.mul, torch.mul)(_elementwise("Mul"))
exports(operator.truediv, torch.div)(_elementwise("Div"))
exports(functional.elu, functional.elu_)(_elu)
exports(functional.leaky_relu)(_leaky)
# The model is in evaluation mode.
exports(functional.dropout)(_identity)
exports(nn.ReLU)(_of_layer(_elementwise("Relu")))
exports(nn.Sigmoid)(_of_layer(_elementwise("Sigmoid")))
exports(nn.Tanh)(_of_layer(_elementwise("Tanh")))
exports(nn.ELU)(_of_layer(_elu, "alpha"))
exports(nn.LeakyReLU)(_of_layer(_leaky, "negative_slope"))
exports(nn.Identity, nn.Dropout)(_of_layer(_identity))
exports(operator.getitem)(lambda _write, values, key: values[key])


@exports(torch.cat)
def _concatenated(write: Writer, parts: Any, dim: int = 0) -> Name:  # noqa: ANN401
    return write.add("Concat", *parts, axis=dim)


@exports(Affine)
def _affine(write: Writer, kernel: Affine, features: Name | Matrix) -> Name:
    weight = write.constant(kernel.weight)
    if isinstance(features, Name):
        return write.affine(features, weight, kernel.bias)
    return _plus(write, write.aggregate(features, weight), kernel.bias)


def _plus(write: Writer, values: Name, bias: Tensor | None) -> Name:
    return values if bias is None else write.add("Add", values, write.constant(bias))


@exports(ScaleShift)
def _scale_shift(write: Writer, kernel: ScaleShift, features: Name) -> Name:
    return write.add("Add", write.add("Mul", features, write.constant(kernel.scale)), write.constant(kernel.shift))


@exports(Product)
def product(write: Writer, kernel: Product, features: Name | Matrix, matrix: Any) -> Name:  # noqa: ANN401
    """A (x W) + b, or (A x) W + b where that aggregates less."""
    if not isinstance(matrix, Matrix):
        raise SettingError("its graph is no sparse matrix; export the layer that it was built for")
    weight = write.constant(kernel.weight)
    if isinstance(features, Matrix):
        projected = write.aggregate(features, weight)
    elif kernel.tables == 1 and len(kernel.weight) < kernel.out and kernel.shift is None:
        return write.affine(write.aggregate(matrix, features), weight, kernel.bias)
    else:
        projected = write.affine(features, weight, kernel.shift)
    if kernel.tables > 1:
        projected = write.add("Reshape", projected, write.numbers(-1, kernel.out))
    return _plus(write, write.aggregate(matrix, projected), kernel.bias)


@exports(operator.matmul, torch.matmul, aggregate)
def _multiplied(write: Writer, left: Any, right: Any) -> Name:  # noqa: ANN401
    return write.aggregate(left, right) if isinstance(left, Matrix) else write.add("MatMul", left, right)


@exports(plus_own_row)
def _with_own_row(_write: Writer, matrix: Matrix) -> Matrix:
    return Matrix(matrix.row, matrix.column, matrix.rows, matrix.value, matrix.own + 1)


@exports(max_readout)
def largest(write: Writer, features: Name, graph_of_node: Name, graphs: Name) -> Name:
    """The maximum over each graph's nodes, 0 for a graph without nodes."""
    found = write.scatter("max", -math.inf, features, graph_of_node, graphs)
    some = write.add("Greater", write.entries_of(graph_of_node, graphs), write.number(0.0))
    return write.add("Where", some, found, write.number(0.0))


def written(write: Writer, layer: nn.Module, *arguments: Any, **keywords: Any) -> Any:  # noqa: ANN401
    """A layer that is called, or a sequence of layers; raises `SettingError` for one without a rule."""
    layer = layer._modules.get(KERNEL) or layer
    if isinstance(layer, nn.Sequential):
        for part in layer:
            arguments = (written(write, part, *arguments),)
        return arguments[0]
    rule = rule_of(layer)
    if rule is None and (lowering := lower.of(layer)) is not None:
        layer = lowering(layer)
        rule = rule_of(layer)
    if rule is None:
        raise SettingError(f"{type(layer).__name__} has no rule; add one with @gnn.runtime.onnx_rules.exports")
    return rule(write, layer, *arguments, **keywords)


@exports(TensorQuantizer)
def _quantizer(write: Writer, quantizer: TensorQuantizer, values: Name) -> Name:
    if not quantizer.seen:
        return values
    out = _on_grid(write, quantizer.grid, values)
    return write.add("Relu", out) if quantizer.rectifies else out


def _on_grid(write: Writer, grid: Grid, values: Name) -> Name:
    """Values rounded to codes of 8 bits, clamped before where there are fewer codes, and back."""
    kind = np.int8 if grid.lowest < 0 else np.uint8
    if grid.highest - grid.lowest < np.iinfo(np.uint8).max:
        values = write.add("Clip", values, *(write.number(end) for end in grid.ends))
    scale, zero = write.number(grid.scale), write.constant(np.array(grid.zero_point, dtype=kind))
    return write.add("DequantizeLinear", write.add("QuantizeLinear", values, scale, zero), scale, zero)


@exports(LinearQuantizers)
def _quantized_linear(write: Writer, layer: Any, values: Name | Matrix) -> Name:  # noqa: ANN401
    if not isinstance(layer.product, IntegerProduct):
        raise SettingError("it is quantized in simulation; give the model that gnn.quantization.convert makes of it")
    return _integer_product(write, layer.product, values, None, layer.bias)


@exports(IntegerProduct)
def _integer_product(
    write: Writer, product: IntegerProduct, values: Name | Matrix, _weight: object, bias: Tensor | None = None
) -> Name:
    weight = _codes(write, product)
    if isinstance(values, Matrix):
        entries = values.value and written(write, product.inputs, values.value)
        out = write.aggregate(Matrix(values.row, values.column, values.rows, entries), weight)
    else:
        out = write.add("MatMul", written(write, product.inputs, values), weight)
    return written(write, product.features, _plus(write, out, bias))


def _codes(write: Writer, product: IntegerProduct) -> Name:
    """The weight as codes of 8 bits [in, out] with a scale and a zero for each output.

    They are written as uint8, 128 above: without dot products of bytes ONNX Runtime adds products of uint8 and int8 up
    in 16 bits, which saturate.
    """
    held = product.matrix
    codes, zero = (numbers.to(torch.int16).add(INT8_SHIFT).to(torch.uint8) for numbers in (held.int8.t(), -held.offset))
    scale = held.scale.expand(codes.shape[1])
    return write.add("DequantizeLinear", *(write.constant(part) for part in (codes, scale, zero)), axis=1)


@exports(Aggregation, IntegerAggregation)
def _aggregation(write: Writer, layer: Any, matrix: Matrix, features: Name) -> tuple[Name, Name]:  # noqa: ANN401
    if not isinstance(matrix, Matrix):
        raise SettingError("its graph is no sparse matrix")
    sent = written(write, layer.messages, features)
    value = matrix.value and written(write, layer.norms, matrix.value)
    total = write.aggregate(Matrix(matrix.row, matrix.column, matrix.rows, value, matrix.own), sent)
    return written(write, layer.aggregates, total), sent


@exports(QuantizedSplineConvolution)
def _quantized_spline(write: Writer, layer: Any, features: Any, matrix: Any) -> Name:  # noqa: ANN401
    projected = written(write, layer.product, features, None)
    table = write.add("Reshape", projected, write.numbers(-1, layer.out_channels))
    total, _ = written(write, layer.neighbour_sum, matrix, table)
    return written(write, layer.updates, _plus(write, total, layer.bias))

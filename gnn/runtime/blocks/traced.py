"""A traced forward as steps that can be taken for some nodes at a time: row by row, or one aggregation over edges."""

import operator
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from gnn.errors import SettingError
from gnn.layers import CsrMatrix
from gnn.native import aggregate as aggregate_matrix
from gnn.runtime.blocks.steps import CONVERT, Step, found, gin_sum, given, given_rows, rows_of
from gnn.runtime.gin_layers import Gin
from gnn.runtime.kernels import KERNEL, Affine, ScaleShift, aggregate, matrix_of
from gnn.runtime.tracing import trace

# What gives each row from the same rows of its arguments alone.
ROW_BY_ROW: tuple[Any, ...] = (
    *(getattr(functional, name) for name in ("celu", "dropout", "elu", "elu_", "gelu", "hardswish", "hardtanh")),
    *(getattr(functional, name) for name in ("leaky_relu", "linear", "logsigmoid", "mish", "relu", "relu_", "relu6")),
    *(getattr(functional, name) for name in ("selu", "sigmoid", "silu", "softplus", "tanh")),
    *(
        getattr(torch, name)
        for name in ("abs", "add", "clamp", "div", "exp", "log", "maximum", "minimum", "mul", "neg")
    ),
    *(getattr(torch, name) for name in ("relu", "rsqrt", "sigmoid", "sqrt", "sub", "tanh")),
    *(operator.add, operator.sub, operator.mul, operator.truediv, operator.neg, operator.iadd, operator.imul),
)
# The same where they go along the channels.
ALONG_CHANNELS: tuple[Any, ...] = (
    *(getattr(functional, name) for name in ("softmax", "log_softmax", "normalize")),
    *(getattr(torch, name) for name in ("cat", "softmax", "log_softmax")),
)
METHODS = ("abs", "add", "clamp", "div", "elu", "exp", "log", "log_softmax", "mul", "neg", "relu", "relu_", "rsqrt")
METHODS += ("sigmoid", "softmax", "sqrt", "sub", "tanh")
LAYERS = (nn.CELU, nn.Dropout, nn.ELU, nn.GELU, nn.Hardswish, nn.Hardtanh, nn.Identity, nn.LayerNorm, nn.LeakyReLU)
LAYERS += (nn.LogSigmoid, nn.Mish, nn.PReLU, nn.ReLU, nn.ReLU6, nn.SELU, nn.Sigmoid, nn.SiLU, nn.Softplus, nn.Tanh)
CHANGES_ITS_INPUT = (functional.elu_, functional.relu_, operator.iadd, operator.imul)


def steps_of(traced: fx.GraphModule, arguments: Mapping[str, Any]) -> Step:
    """The last step of a graph that torch.fx has traced, with those before it.

    Raises `SettingError` for a step that is neither row by row nor one of the aggregations that are known.
    """
    values: dict[fx.Node, Any] = {}
    for node in traced.graph.nodes:
        inputs, options = fx.map_arg((node.args, dict(node.kwargs)), values.__getitem__)
        if node.op == "placeholder":
            values[node] = arguments.get(cast(str, node.target))
        elif node.op == "get_attr":
            values[node] = operator.attrgetter(cast(str, node.target))(traced)
        elif node.op == "output":
            if not isinstance(inputs[0], Step):
                raise _refusal("what it gives", "no row for each node")
            return inputs[0]
        elif node.op == "call_module":
            values[node] = _layer(traced.get_submodule(cast(str, node.target)), inputs, options, node)
        else:
            values[node] = _called(node, inputs, options)
    raise _refusal("its forward", "without a result")


def _refusal(what: str, why: str) -> SettingError:
    return SettingError(
        f"{what} is {why}, and blocks of nodes only know steps row by row and sums, means and maxima over edges; "
        "call the compiled module on a graph that fits into memory"
    )


def _called(node: fx.Node, inputs: Any, options: Any) -> Any:  # noqa: ANN401
    """What a function or a method gives."""
    of_rows = bool(found((inputs, options), Step))
    if node.op == "call_method" and not of_rows:
        return _method(cast(str, node.target), *inputs, **options)
    function: Any = getattr(Tensor, cast(str, node.target), None) if node.op == "call_method" else node.target
    if not of_rows:
        return _of_no_rows(function, inputs, options)
    if function in (operator.matmul, torch.matmul, aggregate):
        return _product(node, *inputs)
    _require_row_by_row(node, function, inputs, options)
    return rows_of(node.name, function, inputs, options, passes=function is functional.dropout)


def _of_no_rows(function: Any, inputs: Any, options: Any) -> Any:  # noqa: ANN401
    owner = inputs[0] if inputs else None
    if function in (operator.matmul, torch.matmul) and isinstance(owner, CsrMatrix):
        return rows_of("product", torch.matmul, (given_rows(owner), inputs[1]), {})
    value = function(*inputs, **options)
    return given(value) if function is getattr and not isinstance(owner, CsrMatrix | Tensor) else value


def _method(name: str, owner: Any, *inputs: Any, **options: Any) -> Any:  # noqa: ANN401
    if isinstance(owner, CsrMatrix) and name == "to_dense":
        return given_rows(owner)
    return getattr(owner, name)(*inputs, **options)


def _product(node: fx.Node, left: Any, right: Any) -> Step:  # noqa: ANN401
    if isinstance(left, Step) and isinstance(right, Tensor):
        return rows_of(node.name, torch.matmul, (left, right), {})
    matrix = matrix_of(left)
    if matrix is None or not isinstance(right, Step):
        raise _refusal(f"step {node.name!r}", f"a product with a {type(left).__name__}")
    return Step(node.name, aggregate_matrix, over=matrix, sources=right)


def _layer(layer: nn.Module, inputs: Any, options: Any, node: fx.Node) -> Step:  # noqa: ANN401
    path = cast(str, node.target)
    kernel = layer._modules.get(KERNEL, layer)
    named = f"layer {path!r} ({type(layer).__name__})"
    try:
        if type(kernel) is Gin:
            total = gin_sum(kernel, *inputs, **options)
            transform = trace(kernel.nn, (torch.zeros(1, 1),), {})
            first = next(iter(transform.graph.nodes))
            return steps_of(transform, {cast(str, first.target): total})
        if convert := CONVERT.get(cast(Any, type(kernel))):
            return convert(kernel, *inputs, **options)
    except (TypeError, ValueError, AttributeError) as error:
        if isinstance(error, SettingError):
            raise
        why = f"called in another way than with features and edges ({error})"
        raise _refusal(named, why) from error
    if type(kernel) not in (Affine, ScaleShift) and type(layer) not in LAYERS:
        raise _refusal(named, "of a type that is not known here")
    if len(inputs) != 1 or options or not isinstance(inputs[0], Step):
        raise _refusal(named, "called with more than rows of nodes")
    if getattr(layer, "inplace", False):
        _require_own(node, inputs[0])
    return rows_of(path, layer, inputs, {}, passes=isinstance(layer, nn.Dropout | nn.Identity))


def _require_row_by_row(node: fx.Node, function: Any, inputs: Any, options: Any) -> None:  # noqa: ANN401
    named = f"step {node.name!r} ({getattr(function, '__name__', function)})"
    along = function in ALONG_CHANNELS or (node.op == "call_method" and node.target in ("softmax", "log_softmax"))
    if not (along or function in ROW_BY_ROW or (node.op == "call_method" and node.target in METHODS)):
        raise _refusal(named, "no operation row by row")
    place = 2 if function is functional.normalize else 1
    axis = options.get("dim", inputs[place] if len(inputs) > place else 1 if function is functional.normalize else 0)
    if along and axis not in (1, -1):
        raise _refusal(named, "along the nodes")
    if function is functional.dropout and options.get("training", inputs[2] if len(inputs) > 2 else True):
        raise _refusal(named, "dropout as in training")
    if function is not functional.linear and any(
        tensor.dim() > 1 and len(tensor) > 1 for tensor in found((inputs, options), Tensor)
    ):
        raise _refusal(named, "with a tensor that has rows of its own")
    if function in CHANGES_ITS_INPUT or options.get("inplace") or node.target == "relu_":
        _require_own(node, inputs[0])


def _require_own(node: fx.Node, changed: Step) -> None:
    """What is changed in place must be nobody else's."""
    read = node.args[0]
    if changed.passes or changed.given is not None or not isinstance(read, fx.Node) or len(read.users) > 1:
        raise _refusal(f"step {node.name!r}", "done in place on what others read too")

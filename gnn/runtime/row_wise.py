"""Steps that compute each row from the same row of what they read, so that equal rows stay equal."""

import operator
from typing import Any, cast

import torch
from torch import fx, nn
from torch.nn import functional

from gnn.layers.rules import full_name
from gnn.runtime.chain import Chain
from gnn.runtime.kernels import KERNEL, Affine, ScaleShift, Transform

ACTIVATIONS = (
    *(nn.ReLU, nn.ReLU6, nn.ELU, nn.LeakyReLU, nn.GELU, nn.SELU, nn.CELU, nn.SiLU, nn.Softplus, nn.Tanh, nn.Sigmoid),
    *(nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.LogSigmoid, nn.Mish, nn.Softsign, nn.Tanhshrink, nn.Identity),
)
CONTAINERS = (
    "torch.nn.modules.container.Sequential",
    "torch_geometric.nn.models.mlp.MLP",
    "torch_geometric.nn.norm.batch_norm.BatchNorm",
)
OF_ONE = (
    *(torch.relu, torch.relu_, torch.tanh, torch.sigmoid, torch.asinh, torch.exp, torch.log1p, torch.abs, torch.neg),
    *(torch.square, torch.sqrt, torch.sin, torch.cos, functional.relu, functional.relu_, functional.relu6),
    *(functional.elu, functional.elu_, functional.leaky_relu, functional.gelu, functional.selu, functional.celu),
    *(functional.silu, functional.softplus, functional.tanh, functional.sigmoid, functional.hardtanh, operator.neg),
)
OF_SEVERAL = (
    *(operator.add, operator.sub, operator.mul, operator.truediv, torch.add, torch.sub, torch.mul, torch.div),
    *(torch.maximum, torch.minimum),
)
ALONG_CHANNELS = (functional.softmax, functional.log_softmax, functional.normalize, torch.softmax, torch.log_softmax)
METHODS = ("relu", "tanh", "sigmoid", "abs", "exp", "float", "add", "sub", "mul", "div", "asinh", "square", "sqrt")


def is_row_wise(node: fx.Node, computed: Any) -> bool:  # noqa: ANN401
    """Whether a step gives each row from the same row of its matrices, and from numbers that all rows share.

    `computed` is the function, kernel or layer that the step calls.
    """
    if isinstance(computed, nn.Module):
        return row_wise_module(computed)
    if node.op == "call_method":
        return node.target in METHODS
    if computed in (torch.cat, torch.concat):
        return _axis(node, 0) in (1, -1)
    if computed in ALONG_CHANNELS:
        return _axis(node, 1 if computed is functional.normalize else None) in (1, -1)
    return computed in OF_ONE or computed in OF_SEVERAL


def row_wise_module(module: nn.Module) -> bool:
    """Whether a module, with all that is in it, treats every row alone."""
    module = cast(nn.Module, module._modules.get(KERNEL, module))
    if isinstance(module, Affine | ScaleShift | Transform) or type(module) in ACTIVATIONS:
        return True
    if isinstance(module, Chain):
        return all(isinstance(part, Affine) for part in module.parts)
    if isinstance(module, nn.Dropout):
        return not module.training
    if isinstance(module, nn.LayerNorm):
        return len(module.normalized_shape) == 1
    if full_name(type(module)) not in CONTAINERS and type(module) is not nn.ModuleList:
        return False
    return all(row_wise_module(inner) for inner in module.children())


def changes_in_place(node: fx.Node, computed: Any) -> bool:  # noqa: ANN401
    """Whether a step may change what it reads."""
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    by_name = node.op != "call_module" and name.endswith("_") and not name.endswith("__")
    positional = computed in OF_ONE and any(argument is True for argument in node.args)
    named = bool(node.kwargs.get("inplace")) or "out" in node.kwargs
    return by_name or positional or named or bool(getattr(computed, "inplace", False))


def _axis(node: fx.Node, default: int | None) -> object:
    """The axis that a step is given by name or as its second number; one of normalize's is its third."""
    place = 2 if node.target is functional.normalize else 1
    return node.kwargs.get("dim", node.args[place] if len(node.args) > place else default)

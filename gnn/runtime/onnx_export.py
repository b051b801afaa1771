"""A compressed model as one ONNX file, with its weights as it has them: codes of 8 bits, or FP32."""

import copy
import importlib.util
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, fx, nn

from gnn.atomic_file import AnyPath, write_atomically
from gnn.errors import SettingError
from gnn.models import fp32_model, unwrapped_model
from gnn.quantization.integer_model import is_integer
from gnn.runtime.compiled import lowered
from gnn.runtime.kernels import KERNEL, matrix_of
from gnn.runtime.onnx_rules import ONNX, rule_of, written
from gnn.runtime.onnx_writer import Matrix, Name, Writer, whole
from gnn.runtime.tracing import Tracer, trace

# What is asked of a sparse matrix; `rows` is the number of them.
ENTRIES = ("row", "column", "value")


@dataclass(frozen=True)
class OnnxFile:
    """An ONNX file that was written: where it is, its bytes, and the names of its inputs and outputs.

    An input is named after the argument it belongs to, such as "x" or "batch.graph_of_node"; of a sparse matrix there
    are `row`, `column` and `value` of its entries and the number of its `rows`.
    """

    path: Path
    size_bytes: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    signature: inspect.Signature

    def feed(self, *arguments: Any, **keywords: Any) -> dict[str, np.ndarray[Any, Any]]:  # noqa: ANN401
        """The inputs for a call of the module, as ONNX Runtime's `run` takes them."""
        given = self.signature.bind(*arguments, **keywords).arguments
        return {name: _found(given, name).numpy() for name in self.inputs}


def export_onnx(model: nn.Module, example: Any, path: AnyPath) -> OnnxFile:  # noqa: ANN401
    """Write a model as one ONNX file that answers for any graph or batch of graphs.

    A model on integers keeps its weights as codes of 8 bits with a scale for each output channel, between
    QuantizeLinear and DequantizeLinear; any other one is written in FP32 with the sizes that it has. Graphs are inputs:
    sums over neighbours are Gather and ScatterND.

    Args:
        model: A model in FP32, pruned or not, or one that `gnn.quantization.convert` made.
        example: The arguments of one call: a tuple of them, a mapping by name, or the only one.
        path: The file, which is replaced when the new one is whole.

    Returns:
        What was written, with the function `feed` that makes the inputs for a call.

    Raises:
        SettingError: The package onnx is not installed, the model is no FP32 model nor one on integers, its forward
            cannot be traced, or a step has no rule in `gnn.runtime.onnx_rules.ONNX`; nothing is written then.
    """
    if importlib.util.find_spec("onnx") is None:
        raise SettingError("an ONNX file needs the package onnx; pip install 'gnn-compression-bench[peers]'")
    bare = unwrapped_model(model)
    own = copy.deepcopy(bare).eval() if is_integer(bare) else lowered(fp32_model(bare))
    own = own._modules.get(KERNEL) or own
    arguments = () if isinstance(example, Mapping) else example if isinstance(example, tuple) else (example,)
    keywords = dict(example) if isinstance(example, Mapping) else {}
    try:
        steps = trace(own, arguments, keywords, _Tracer)
    # Whatever a forward does that cannot be traced, from control flow to a type error of a proxy.
    except Exception as error:
        said = str(error).strip().partition("\n")[0]
        raise SettingError(f"{type(bare).__name__} cannot be traced, so it has no ONNX form: {said}") from error
    signature = inspect.signature(own.forward)
    exporting = _Exporting(steps, signature.bind(*arguments, **keywords).arguments)
    with torch.no_grad():
        exporting.run(*exporting.placeholders())
    model_proto = exporting.write.model(exporting.outputs, f"{type(bare).__name__}, written by gnn.runtime.export_onnx")
    content = model_proto.SerializeToString()
    write_atomically(path, content)
    names = tuple(exporting.write.inputs), tuple(exporting.outputs)
    return OnnxFile(Path(path), len(content), *names, signature)


class _Tracer(Tracer):
    """Quantized layers stay whole as well, and what a step is given to call later is left out."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a call of the module is one step of the trace."""
        entered = getattr(m._modules.get(KERNEL), "entered", False)
        return (not entered and rule_of(m) is not None) or super().is_leaf_module(m, module_qualified_name)

    def create_arg(self, a: Any) -> Any:  # noqa: ANN401
        """An argument as the trace keeps it."""
        return None if inspect.isfunction(a) else super().create_arg(a)


class _Exporting(fx.Interpreter):
    """Runs a trace on an example and writes every step of it."""

    def __init__(self, steps: fx.GraphModule, given: Mapping[str, Any]) -> None:
        super().__init__(steps)
        self.extra_traceback = False
        self.write, self.given = Writer(), given
        self.outputs: dict[str, tuple[Name, Tensor]] = {}
        self._written: dict[fx.Node, Any] = {}
        self._path: dict[fx.Node, str] = {}

    def placeholders(self) -> list[Any]:
        """The arguments in the order of the trace."""
        return [
            self.given.get(cast(str, node.target))
            for node in cast(fx.Graph, self.graph).nodes
            if node.op == "placeholder"
        ]

    def run_node(self, n: fx.Node) -> Any:  # noqa: ANN401
        """Run and write one step."""
        actual = super().run_node(n)
        try:
            self._written[n] = self._write(n, actual)
        except SettingError as error:
            raise SettingError(f"step {n.name!r} cannot be written in ONNX: {error}") from error
        return actual

    def _write(self, node: fx.Node, actual: Any) -> Any:  # noqa: ANN401
        find = self._written.__getitem__
        arguments: Any = fx.map_arg(node.args, find)
        keywords: Any = fx.map_arg(node.kwargs, find)
        if node.op == "placeholder":
            return self._input(node, cast(str, node.target), actual)
        if node.op == "get_attr":
            return self.write.constant(actual)
        if node.op == "output":
            results = arguments[0] if isinstance(arguments[0], tuple | list) else (arguments[0],)
            tensors = actual if isinstance(actual, tuple | list) else (actual,)
            names = ("output",) if len(results) == 1 else [f"output_{number}" for number in range(len(results))]
            self.outputs = dict(zip(names, zip(results, tensors, strict=True), strict=True))
            return None
        if node.target is getattr and (path := self._path.get(cast(fx.Node, node.args[0]))) is not None:
            return self._input(node, f"{path}.{node.args[1]}", actual)
        if node.op == "call_module":
            layer = self.module.get_submodule(cast(str, node.target))
            return written(self.write, layer, *arguments, **keywords)
        called = getattr(node.target, "__name__", str(node.target))
        if (rule := ONNX.get(node.target) or ONNX.get(called)) is None:
            raise SettingError(f"{called} has no rule; add one with @gnn.runtime.onnx_rules.exports")
        return rule(self.write, *arguments, **keywords)

    def _input(self, node: fx.Node, path: str, actual: Any) -> Any:  # noqa: ANN401
        """The input that an argument or an attribute of one is; what is neither is asked for its attributes."""
        if not node.users:
            return None
        if isinstance(actual, Tensor):
            return self._input_once(path, actual)
        if type(actual) is int:
            return self._input_once(path, whole(actual), sized=True)
        if (matrix := matrix_of(actual)) is not None:
            row, column, value = (self._input_once(f"{path}.{part}", getattr(matrix, part)) for part in ENTRIES)
            rows = self._input_once(f"{path}.rows", whole(matrix.shape[0]), sized=True)
            return Matrix(row, column, rows, value)
        self._path[node] = path
        return None

    def _input_once(self, path: str, example: Tensor, *, sized: bool = False) -> Name:
        return self.write.once(("input", path), lambda: self.write.input(path, example, sized=sized))


def _found(given: Mapping[str, Any], name: str) -> Tensor:
    """The tensor that an input is named after."""
    first, *attributes = name.split(".")
    value = given[first]
    for attribute in attributes:
        matrix = matrix_of(value)
        value = matrix.shape[0] if matrix and attribute == "rows" else getattr(matrix or value, attribute)
    return whole(value) if isinstance(value, int) else cast(Tensor, value).detach().contiguous()

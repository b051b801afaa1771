"""An ONNX graph that is written step by step."""

import importlib
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

Made = TypeVar("Made")

# The first with sums and maxima in ScatterND.
OPSET = 18
# ONNX Runtime 1.32 and OpenVINO 2026.4 read it.
IR_VERSION = 10


@dataclass(frozen=True)
class Name:
    """A tensor of the graph."""

    text: str


@dataclass(frozen=True)
class Matrix:
    """A sparse matrix of the graph: the row, the column and the value of every entry, and how many rows there are.

    Values are None where all are 1. A matrix counts `own` times the identity on top.
    """

    row: Name
    column: Name
    rows: Name
    value: Name | None = None
    own: float = 0.0


class Writer:
    """Nodes, constants and inputs of an ONNX graph in the order in which they are added."""

    def __init__(self) -> None:
        # Not everybody has it.
        self._onnx: Any = importlib.import_module("onnx")
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self.inputs: dict[str, Any] = {}
        self._made: dict[Hashable, Any] = {}

    def add(self, operation: str, *inputs: Name | None, **attributes: Any) -> Name:  # noqa: ANN401
        """Add a node with one output; None stands for an input that is left out."""
        out = Name(f"{operation}_{len(self.nodes)}")
        names = ["" if name is None else name.text for name in inputs]
        self.nodes.append(self._onnx.helper.make_node(operation, names, [out.text], **attributes))
        return out

    def constant(self, value: Tensor | np.ndarray[Any, Any]) -> Name:
        """Add numbers that are a part of the model; equal ones are kept once."""
        array = np.array(value.detach().cpu().numpy() if isinstance(value, Tensor) else value, order="C")

        def make() -> Name:
            name = Name(f"constant_{len(self.constants)}")
            self.constants[name.text] = self._onnx.numpy_helper.from_array(array, name.text)
            return name

        return self.once(("constant", array.dtype.str, array.shape, array.tobytes()), make)

    def numbers(self, *values: int) -> Name:
        """Whole numbers [values] that are a part of the model, such as axes."""
        return self.constant(np.array(values, dtype=np.int64))

    def number(self, value: float) -> Name:
        """A number in FP32 that is a part of the model."""
        return self.constant(np.array(value, dtype=np.float32))

    def input(self, path: str, example: Tensor, *, sized: bool = False) -> Name:
        """Add an input like the example; unless it is `sized`, rows, entries and edges may be as many as there are."""
        helper = self._onnx.helper
        # Whole numbers with two axes may be edges [2, edges] as well as features [nodes, channels].
        dynamic = () if sized else (0,) if example.is_floating_point() else (0, 1)
        shape = [None if axis in dynamic else size for axis, size in enumerate(example.shape)]
        element = helper.np_dtype_to_tensor_dtype(np.dtype(str(example.dtype).removeprefix("torch.")))
        self.inputs[path] = helper.make_tensor_value_info(path, element, shape)
        return Name(path)

    def once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """What `make` gave for this key, or gives now."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def rows_of(self, rows: Name) -> Name:
        """The number of rows of a tensor, [1]."""
        return self.once(("rows", rows), lambda: self.add("Shape", rows, start=0, end=1))

    def scatter(self, reduction: str, start: float, messages: Name, row: Name, rows: Name) -> Name:
        """Messages [entries, width] reduced by the row each belongs to, [rows, width]; `start` where there are none."""
        width = self.add("Shape", messages, start=1, end=2)
        shape = self.add("Concat", rows, width, axis=0)
        empty = self.add("Expand", self.number(start), shape)
        index = self.once(("index", row), lambda: self.add("Unsqueeze", row, self.numbers(1)))
        return self.add("ScatterND", empty, index, messages, reduction=reduction)

    def aggregate(self, matrix: Matrix, table: Name) -> Name:
        """The product of a matrix with a table [columns, width] -> [rows, width]."""
        messages = self.add("Gather", table, matrix.column, axis=0)
        if matrix.value is not None:
            messages = self.add("Mul", messages, self.column_of(matrix.value))
        total = self.scatter("add", 0.0, messages, matrix.row, matrix.rows)
        if not matrix.own:
            return total
        own = table if matrix.own == 1 else self.add("Mul", table, self.number(matrix.own))
        return self.add("Add", total, own)

    def column_of(self, values: Name) -> Name:
        """Values [entries] as a column [entries, 1]."""
        return self.once(("column", values), lambda: self.add("Unsqueeze", values, self.numbers(1)))

    def entries_of(self, row: Name, rows: Name) -> Name:
        """How many entries every row has, [rows, 1] in FP32."""

        def make() -> Name:
            shape = self.add("Concat", self.rows_of(row), self.numbers(1), axis=0)
            return self.scatter("add", 0.0, self.add("Expand", self.number(1.0), shape), row, rows)

        return self.once(("entries", row, rows), make)

    def affine(self, features: Name, weight: Name, bias: Tensor | None) -> Name:
        """x W + b."""
        if bias is None:
            return self.add("MatMul", features, weight)
        return self.add("Gemm", features, weight, self.constant(bias))

    def model(self, outputs: dict[str, tuple[Name, Tensor]], says: str) -> Any:  # noqa: ANN401
        """The whole as onnx has it; outputs are given with an example of each."""
        helper = self._onnx.helper
        values = []
        for name, (held, example) in outputs.items():
            self.nodes.append(helper.make_node("Identity", [held.text], [name]))
            shape = [None, *example.shape[1:]] if example.dim() else []
            values.append(helper.make_tensor_value_info(name, self._onnx.TensorProto.FLOAT, shape))
        graph = helper.make_graph(
            self.nodes, "model", list(self.inputs.values()), values, list(self.constants.values()), doc_string=says
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        self._onnx.checker.check_model(model, full_check=True)
        return model


def whole(value: int) -> Tensor:
    """A number of rows as a tensor of the graph has it, [1]."""
    return torch.tensor([value])

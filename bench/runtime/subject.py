"""What is timed: a model on a batch, in its own form, in PyG's eager one, and compiled."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gnn.models import on_task
from gnn.runtime import Inference, compile, compile_inference, model_inference  # noqa: A004
from gnn.tasks import Task


@dataclass(frozen=True, eq=False)
class Subject:
    """A dense model and a batch of graphs, or a graph, that it is asked about.

    `batch` is its size, and `what` says so in words. `eager` is a module of plain tensors, the `tensors`, that computes
    the same as PyG's own layers do; `quantized` is the model on INT8, where it can be. A model of a `task` is asked as
    the task says; one without is called with the `tensors`. What a call of the model gives becomes what is asked by
    `finish`.
    """

    name: str
    batch: str
    what: str
    model: nn.Module
    eager: nn.Module
    tensors: tuple[Any, ...]
    quantized: nn.Module | None = None
    task: Task | None = None
    finish: Callable[[Tensor], Tensor] = lambda out: out

    def example(self, model: nn.Module) -> tuple[Any, ...]:
        """The arguments of one call of the model, or of one that was made of it."""
        if self.task is None:
            return self.tensors
        inputs = on_task(model, self.task).prepare(self.task)
        return (inputs["test"] if isinstance(inputs, dict) else inputs,)

    def compiled(self, model: nn.Module, **settings: Any) -> Inference:  # noqa: ANN401
        """The model, or one that was made of it, on our runtime with its settings."""
        if self.task is not None:
            return compile_inference(model, self.task, **settings)
        return self._call(compile(model, self.tensors, **settings))

    def forward(self, model: nn.Module) -> Inference:
        """The same by the model's own forward pass."""
        return self._call(model.eval()) if self.task is None else model_inference(model, self.task)

    def eager_inference(self) -> Inference:
        """The same in FP32 as PyG computes it."""
        return self._call(self.eager)

    def _call(self, module: nn.Module) -> Inference:
        tensors = self.tensors
        return torch.inference_mode()(lambda: module(*tensors))


def difference(found: Tensor, expected: Tensor) -> float:
    """The largest difference, as a share of the largest number that was expected."""
    if found.shape != expected.shape or not expected.numel():
        return 0.0 if found.shape == expected.shape else float("inf")
    largest = expected.abs().max().clamp(min=torch.finfo(expected.dtype).tiny)
    return float(((found - expected).abs().max() / largest).nan_to_num(nan=float("inf")))

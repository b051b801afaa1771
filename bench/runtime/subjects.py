"""The models that are timed: the paper's, and some as a user of PyG writes them."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from bench.runtime.subject import Subject
from bench.yardsticks.gin import EagerGin
from bench.yardsticks.gnnnet import EagerGnnNet
from bench.yardsticks.hgpsl import EagerHgpSlNet
from bench.yardsticks.ness import EagerNess, EagerNessInputs
from bench.yardsticks.spline import EagerInputs, EagerSplineNet
from gnn.determinism import deterministic
from gnn.models import build_model_for
from gnn.tasks import GraphBatch, GraphClassification, LinkPrediction, Task

BATCHES: dict[str, int | None] = {"1": 1, "128": 128, "all": None}
FOREIGN = ("gcn", "sage", "gin", "gat")
Formed = tuple[nn.Module, tuple[Any, ...]]


class OfTensors(nn.Module):
    """An eager model that is called with the fields of its inputs, which are all tensors."""

    def __init__(self, model: nn.Module, kind: Callable[..., Any], asked: Callable[[Any], Tensor]) -> None:
        super().__init__()
        self.model, self._kind, self._asked = model, kind, asked

    def forward(self, *fields: Tensor) -> Tensor:
        """What is asked of the model."""
        return self._asked(self._kind(*fields))


def _of_batch(eager: Callable[[Any], nn.Module]) -> Callable[[Any, GraphClassification], Formed]:
    def form(model: Any, task: GraphClassification) -> Formed:  # noqa: ANN401
        batch = task.batch("test")
        return eager(model), (batch.features, batch.edge_index, batch.graph_of_node, batch.graphs)

    return form


def _with_weights(eager: nn.Module, model: nn.Module) -> Any:  # noqa: ANN401
    eager.load_state_dict(model.state_dict())
    return eager.eval()


def _spline(model: Any, task: Any) -> Formed:  # noqa: ANN401
    eager = _with_weights(EagerSplineNet(model.settings), model)
    return OfTensors(eager, EagerInputs, eager), tuple(vars(eager.prepare(task)).values())


def _hgpsl(model: Any, task: GraphClassification) -> Formed:  # noqa: ANN401
    eager, batch = _with_weights(EagerHgpSlNet(model.settings), model), task.batch("test")
    return OfTensors(eager, GraphBatch, eager), (batch.features, batch.edge_index, batch.node_pointer, batch.labels)


def _ness(model: Any, task: LinkPrediction) -> Formed:  # noqa: ANN401
    eager, pairs = _with_weights(EagerNess(model.settings), model), task.links("test").pairs
    asked = OfTensors(eager, EagerNessInputs, lambda inputs: eager.decode(eager(inputs), pairs))
    return asked, tuple(vars(eager.prepare(task)).values())


# A model in the form in which PyG computes it, and the tensors that it is called with.
FORMS: dict[str, Callable[[Any, Any], Formed]] = {
    "gnnnet": _of_batch(EagerGnnNet),
    "gin": _of_batch(EagerGin),
    "spline": _spline,
    "hgpsl": _hgpsl,
    "ness": _ness,
}


@dataclass(frozen=True)
class Target:
    """A model by its task and its name; one of PyG's convolutions has no task but its graphs."""

    task: str
    model: str
    foreign: bool = False

    @property
    def name(self) -> str:
        """Both, as in a case id."""
        return f"{self.task}.{'pyg-' * self.foreign}{self.model}"

    def dense(self, task: Any) -> nn.Module:  # noqa: ANN401
        """The model with fresh weights: of what is timed, no time depends on them."""
        with deterministic(seed=0):
            if self.foreign:
                # PyG takes seconds to import.
                from bench.runtime.pyg_net import PygNet  # noqa: PLC0415

                return PygNet(self.model, task.feature_count, task.output_count).eval()
            return build_model_for(self.model, task).eval()

    def on_batches(
        self, model: nn.Module, task: Task, batches: tuple[str, ...], quantized: nn.Module | None = None
    ) -> Iterator[Subject]:
        """The model on each batch; a graph that is asked about as a whole is one batch, "all"."""
        if not isinstance(task, GraphClassification):
            yield replace(self._subject(model, task, "all", task.inference_batch), quantized=quantized)
            return
        for size in batches:
            part = _with_test_part(task, BATCHES[size])
            yield replace(self._subject(model, part, size, f"{len(part.split.test)} graphs"), quantized=quantized)

    def _subject(self, model: nn.Module, task: Any, size: str, what: str) -> Subject:  # noqa: ANN401
        if self.foreign:
            batch = task.batch("test")
            tensors = (batch.features, batch.edge_index, batch.graph_of_node)
            return Subject(self.name, size, what, model, copy.deepcopy(model), tensors)
        finish = _pairs_of(model, task) if isinstance(task, LinkPrediction) else _as_it_is
        return Subject(self.name, size, what, model, *FORMS[self.model](model, task), task=task, finish=finish)


def _as_it_is(out: Tensor) -> Tensor:
    return out


def _pairs_of(model: Any, task: LinkPrediction) -> Callable[[Tensor], Tensor]:  # noqa: ANN401
    pairs = task.links("test").pairs
    return lambda embedding: model.decode(embedding, pairs)


def _with_test_part(task: GraphClassification, graphs: int | None) -> GraphClassification:
    """The task with so many graphs to test; those to validate come after, where there are too few."""
    split = task.split
    test = split.test if graphs is None else torch.cat([split.test, split.validation])[:graphs]
    return replace(task, split=replace(split, test=test))


PAPER = (
    ("bbbp", "gnnnet"),
    ("bbbp", "gin"),
    ("proteins", "gin"),
    ("proteins", "hgpsl"),
    ("cora-link", "ness"),
    ("cora-node", "spline"),
)
TARGETS = (
    *(Target(task, model) for task, model in PAPER),
    *(Target("bbbp", kind, foreign=True) for kind in FOREIGN),
)

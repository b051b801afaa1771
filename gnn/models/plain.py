"""A module that knows nothing of tasks, called as its forward pass asks."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn

from gnn.errors import SettingError
from gnn.models.bare import unwrapped_model
from gnn.models.families import GraphClassifier, LinkPredictor, NodeClassifier, fewest_nodes
from gnn.models.registry import GraphModel
from gnn.tasks import Task

# Where a module has how it is called, when its forward pass alone does not tell.
CALL = "_task_call"
Call = Callable[[nn.Module, Any], Tensor]
# What PyG's Data computes from its tensors, by the names that forward passes have for it.
_COMPUTED = {"num_nodes": "num_nodes", "num_graphs": "num_graphs", "batch_size": "num_graphs"}


class _Plain(GraphModel):
    """A view of a module as a model of a task; the module is no child of it, so nothing of it has another name."""

    examples = "nodes"
    module: nn.Module
    call: "Call"
    task: Task

    def __init__(self, module: nn.Module, task: Task) -> None:
        super().__init__()
        call = vars(unwrapped_model(module)).get(CALL) or _call_by_name(module, task)
        vars(self).update(module=module, call=call, task=task)

    def prepare(self, task: Task) -> Any:  # noqa: ANN401
        """The task's graph as PyG has it."""
        return task.pyg()

    def forward(self, inputs: Any) -> Tensor:  # noqa: ANN401
        """What the module gives for a graph or a batch of graphs."""
        return self.call(self.module, inputs)

    def checked(self, outputs: object, rows: int) -> Tensor:
        """The outputs; raises `SettingError` unless they are [rows, outputs of the task]."""
        count, shape = self.task.output_count, tuple(getattr(outputs, "shape", ()))
        if not isinstance(outputs, Tensor) or (shape != (rows, count) and not (count == 1 and shape == (rows,))):
            found = f"a tensor of shape {list(shape)}" if isinstance(outputs, Tensor) else f"a {type(outputs).__name__}"
            raise SettingError(
                f"{type(self.module).__name__} gives {found} for {rows} {self.examples} of {self.task.name}, "
                f"which needs [{rows}, {count}]; change its last layer, or give gnn.Model(call=...) that makes it so"
            )
        return outputs


class _PlainNodes(_Plain, NodeClassifier):
    def forward(self, inputs: Any) -> Tensor:  # noqa: ANN401
        return self.checked(super().forward(inputs), inputs.num_nodes)


class _PlainGraphs(_Plain, GraphClassifier):
    examples = "graphs"

    def prepare(self, task: Any) -> dict[str, Any]:  # noqa: ANN401
        return {part: task.pyg(part) for part in ("validation", "test")}

    def forward(self, inputs: Any) -> Tensor:  # noqa: ANN401
        return self.checked(super().forward(inputs), inputs.num_graphs)

    def losses(self, task: Any, inputs: Any, batch_size: int | None) -> Iterator[Tensor]:  # noqa: ANN401, ARG002
        for batch in task.pyg_batches(batch_size or len(task.split.train), fewest_nodes(self.module)):
            yield task.objective.loss(self(batch), batch.y)

    def outputs(self, task: Any, inputs: dict[str, Any], part: str) -> Tensor:  # noqa: ANN401
        return self(inputs[part] if part in inputs else task.pyg(part))


class _PlainLinks(_Plain, LinkPredictor):
    def forward(self, inputs: Any) -> Tensor:  # noqa: ANN401
        embedding = super().forward(inputs)
        if not isinstance(embedding, Tensor) or embedding.dim() != 2 or len(embedding) != inputs.num_nodes:
            shape = list(embedding.shape) if isinstance(embedding, Tensor) else type(embedding).__name__
            raise SettingError(
                f"{type(self.module).__name__} gives {shape} for {inputs.num_nodes} nodes of {self.task.name}, whose "
                f"links need an embedding [{inputs.num_nodes}, channels]; or give gnn.Model(call=...) that makes it so"
            )
        return embedding

    def decode(self, embedding: Tensor, pairs: Tensor) -> Tensor:
        """Logits by the module's own `decode(embedding, pairs)` where it has one."""
        own = getattr(self.module, "decode", None)
        return super().decode(embedding, pairs) if own is None else own(embedding, pairs).view(-1)


_VIEWS: dict[str, type[_Plain]] = {
    "node-classification": _PlainNodes,
    "graph-classification": _PlainGraphs,
    "link-prediction": _PlainLinks,
}


def on_task(model: nn.Module, task: Task) -> GraphModel:
    """The model as one that a task can train and ask: itself, or a view that calls any other module.

    Args:
        model: Any module. Its forward pass gets what it names of the graph (x, edge_index, edge_weight, edge_attr,
            batch, ...), or the whole PyG Data where its one argument is no such name.
        task: What it is asked.

    Raises:
        SettingError: The forward pass needs what the task's data does not have.
    """
    if isinstance(bare := unwrapped_model(model), GraphModel):
        return model  # pyright: ignore[reportReturnType]
    if any(isinstance(inner, GraphModel) for inner in bare.modules()):
        raise SettingError(f"{type(bare).__name__} is wrapped around a model of gnn.models; give the model itself")
    return _VIEWS[task.kind](model, task)


def _call_by_name(module: nn.Module, task: Task) -> Call:
    """How a module is called, from the names of its forward pass's parameters."""
    kind = type(unwrapped_model(module))
    parameters = list(inspect.signature(kind.forward).parameters.values())[1:]
    data: Any = task.pyg("test")
    known = {*data.keys(), *(name for name in _COMPUTED if hasattr(data, _COMPUTED[name]))}
    needed = [
        p.name for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    if len(needed) == 1 and needed[0] not in known:
        return lambda model, data: model(data)
    if missing := [name for name in needed if name not in known]:
        raise SettingError(
            f"{kind.__name__}.forward needs {missing[0]!r}, which the data of {task.name} does not have (it has "
            f"{', '.join(sorted(data.keys()))}); give gnn.Model(call=lambda model, data: ...) that says what it gets"
        )
    names = [p.name for p in parameters if p.name in known and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return lambda model, data: model(**{name: _of(data, name) for name in names})


def _of(data: Any, name: str) -> Any:  # noqa: ANN401
    return getattr(data, _COMPUTED.get(name, name))

"""The contract checks of a model."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import nn

from gnn.models import unwrapped_model
from gnn.tasks import GraphBatch, Task
from gnn.testing.checks import Check
from gnn.testing.example import example_of
from gnn.testing.graph_checks import GRAPH_CHECKS, Subject
from gnn.testing.service_checks import SERVICE_CHECKS
from gnn.testing.task_example import example_of_batch, example_of_task

MODEL_CHECKS = {**GRAPH_CHECKS, **SERVICE_CHECKS}


class _Called(nn.Module):
    """A model that is called in another way than by its forward pass alone."""

    def __init__(self, model: nn.Module, call: Callable[..., Any]) -> None:
        super().__init__()
        self.model = model
        self._call = call

    def forward(self, *arguments: Any) -> Any:  # noqa: ANN401
        """What the call gives."""
        return self._call(self.model, *arguments)


def check_model(
    model: nn.Module,
    example: Any,  # noqa: ANN401
    *,
    roles: Mapping[str, str] | None = None,
    call: Callable[..., Any] | None = None,
) -> Iterator[Check]:
    """Check what any graph neural network owes to graphs, and to files, kernels, pruning and quantization.

    In pytest, one test for each check, skipped with its reason where it does not apply:

        @pytest.mark.parametrize("check", gnn.testing.check_model(Net(), (x, edge_index)))
        def test_net(check):
            check()

    Without pytest, `print(gnn.testing.report(gnn.testing.check_model(Net(), (x, edge_index))))`. Checks work on copies;
    the model and the example stay as they are.

    Args:
        model: Any nn.Module; one that was not trained will do.
        example: The arguments of one call: a tuple of them, a mapping by name, or the only one, such as a `Data` or
            `Batch` of PyG; for a model that a task feeds, the `Task` or a `GraphBatch`. Some twenty nodes are enough,
            and several graphs where the model is told which node is whose.
        roles: What arguments are that neither name nor shape tells: "nodes" (a row for each node), "edges"
            ([2, edges]), "of edges" (a row for each edge), "graph of node", "pairs" (of nodes), or "other".
        call: Gives the outputs from the model and the arguments, where `model(*arguments)` does not.

    Returns:
        A `Check`, which is (name, callable), for each name in `MODEL_CHECKS`.

    Raises:
        SettingError: It cannot be told which arguments are nodes and edges.
    """
    subject = subject_of(model, example, roles, call)
    return (Check.of(name, function, subject) for name, function in MODEL_CHECKS.items())


def subject_of(
    model: nn.Module,
    example: Any,  # noqa: ANN401
    roles: Mapping[str, str] | None = None,
    call: Callable[..., Any] | None = None,
) -> Subject:
    """The model out of PyTorch's wrappers and its example; arguments are those of `check_model`."""
    model = unwrapped_model(model)
    if isinstance(example, Task):
        return Subject(model, example_of_task(example))
    if isinstance(example, GraphBatch):
        return Subject(model, example_of_batch(example))
    if call is not None:
        model = _Called(model, call)
    return Subject(model, example_of(model, example, roles))

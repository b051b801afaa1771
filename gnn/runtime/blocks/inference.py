"""What runs a compiled module over blocks of nodes, and tries on a small graph that this gives the same."""

import copy
from inspect import signature
from types import MethodType
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from gnn.atomic_file import AnyPath, replace_file
from gnn.errors import SettingError
from gnn.leftovers import temporary_folder
from gnn.runtime.agreement import TOLERANCE, agree
from gnn.runtime.blocks.plan import Plan
from gnn.runtime.blocks.row_tables import Rows
from gnn.runtime.blocks.run import Run
from gnn.runtime.blocks.steps import GivenArray, Step, given
from gnn.runtime.blocks.traced import steps_of
from gnn.runtime.compiled import PRECISION, explain
from gnn.runtime.tracing import trace

PROBE_NODES, PROBE_ROWS = 12, 5


@torch.no_grad()
def infer_in_blocks(
    compiled: nn.Module,
    *arguments: Any,  # noqa: ANN401
    memory_limit: int,
    output: AnyPath | None = None,
) -> Tensor | np.ndarray[Any, Any]:
    """Compute what a compiled module gives for the nodes of a graph in bounded memory.

    Each layer runs over blocks of nodes whose size follows from the limit; what it gives lies in memory where the limit
    allows, otherwise in a temporary file, which is removed also after an error. That holds for every module whose
    forward consists of steps row by row and of convolutions that add up, average or take the maximum over edges. It is
    tried on a small random graph first, where it has to give what the module gives.

    Args:
        compiled: What `gnn.runtime.compile` returned, for CPU.
        arguments: Those of one call, such as features, an edge_index in any order and edge weights; each a tensor, an
            array or a `numpy.memmap`, or what a model of this library has prepared of a task.
        memory_limit: Bytes that this may take beyond what is in memory at its start.
        output: A file in NumPy's format (.npy) that takes the result, one that does not fit into memory for example.

    Returns:
        The rows of all nodes, or, with `output`, a memory map of that file.

    Raises:
        SettingError: For a forward with another kind of step, an edge of a node that does not exist, features that do
            not fit the module, and a limit that is too small for the nodes or for the neighbours of one node.

    Shapes: features [nodes, channels] float32, edge_index [2, edges] int64, edge weights [edges] float32.
    """
    if not isinstance(memory_limit, int) or isinstance(memory_limit, bool) or memory_limit < 1:
        raise SettingError(f"memory_limit is {memory_limit!r}; give the bytes that may be taken, such as {2**30}")
    explain(compiled)
    taken = [given(argument) for argument in arguments]
    plan = Plan(_steps(compiled, taken))
    _probe(compiled, taken)
    with temporary_folder() as folder:
        run = Run(plan, memory_limit, folder)
        if output is None:
            return cast(Tensor, run.take())
        with replace_file(output) as stream:
            run.take(stream)
    return np.load(output, mmap_mode="r")


def _steps(compiled: nn.Module, taken: list[Any]) -> Step:
    own = MethodType(type(compiled).forward, compiled)
    try:
        traced = trace(compiled, tuple(taken), {})
    # Whatever a forward does that cannot be traced.
    except Exception as error:
        raise SettingError(
            f"the forward of {type(compiled).__name__} cannot be traced ({type(error).__name__}: "
            f"{str(error).strip().partition(chr(10))[0]}), so it does not run in blocks of nodes; call the compiled "
            "module on a graph that fits into memory"
        ) from error
    return steps_of(traced, signature(own).bind(*taken).arguments)


def _probe(compiled: nn.Module, taken: list[Any]) -> None:
    """Raise `SettingError` where blocks of a small random graph give something else than the module does."""
    if not all(isinstance(value, Step | GivenArray) for value in taken):
        return
    random = np.random.default_rng(0)
    edges = random.integers(0, PROBE_NODES, (2, 3 * PROBE_NODES))

    def small(value: Step | GivenArray) -> Tensor:
        if isinstance(value, Step):
            return torch.from_numpy(random.normal(size=(PROBE_NODES, cast(Rows, value.given).width)).astype(np.float32))
        return torch.from_numpy(edges if value.array.ndim == 2 else random.random(edges.shape[1], np.float32))

    arguments = [small(value) for value in taken]
    with temporary_folder() as folder:
        plan = Plan(_steps(compiled, [given(argument) for argument in arguments]))
        rows = Run(plan, 2**30, folder, PROBE_ROWS).take()
    # A layer that keeps its first graph must not keep this one.
    if not agree(copy.deepcopy(compiled)(*arguments), rows, TOLERANCE[vars(compiled)[PRECISION]]):
        raise SettingError(
            f"blocks of nodes give something else than the forward of {type(compiled).__name__} on a small graph; call "
            "the compiled module on a graph that fits into memory"
        )

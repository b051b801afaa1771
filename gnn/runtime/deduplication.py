"""Rows of nodes that must be equal are computed once, where a traced forward and a graph allow it and it pays."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import BoundArguments
from typing import Any

import torch
from torch import Tensor, fx

from gnn.errors import SettingError
from gnn.layers import CsrMatrix
from gnn.runtime.colours import Colours
from gnn.runtime.graph_cache import GraphCache
from gnn.runtime.kernels import Kernel, matrix_of
from gnn.runtime.prepared_rows import coloured
from gnn.runtime.rows_by_colour import RowsByColour
from gnn.runtime.steps import Steps

LEAST_SAVING = 0.1
# On fewer rows a call is mostly the dispatch of its steps, of which there are more with colours.
FEWEST_ROWS = 256


@dataclass
class _State:
    """What is known of a graph: how often it came, what its steps read, how many rows differ by depth, or why not."""

    calls: int = 0
    looked: bool = False
    prepared: list[Any] | None = None
    rows: int = 0
    colours: Sequence[int] = ()
    saving: float = 0.0
    refused: str = ""


class Deduplication(Kernel):
    """A trace that computes a row per colour, for the graphs where that saves a tenth of the work.

    A graph is looked at when it comes for the second time, since one that is never seen again could not pay for it;
    with `always` at once, and whatever it saves.
    """

    name = "equal rows once"

    def __init__(self, rewritten: RowsByColour, *, always: bool) -> None:
        super().__init__()
        self._always = always
        self._lookups = Steps(rewritten.module, rewritten.lookups)
        self._steps = Steps(rewritten.module, rewritten.graph)
        self.run = self._steps.run
        self._requests, self._hops, self._entering = rewritten.requests, rewritten.hops, rewritten.entering
        self._costs, self._whole, self.layers = rewritten.costs, rewritten.whole, rewritten.layers
        self._alike = [_alike(value) for value in rewritten.given_in_example()]
        self._cache = GraphCache()
        self.last: _State | None = None

    def prepared(self, *arguments: Any, **keywords: Any) -> list[Any] | None:  # noqa: ANN401
        """What the steps of a call read of its graph, None where it runs without."""
        given = self._lookups.run(*arguments, **keywords)
        # A trace is of its example's kinds of arguments alone.
        if [_alike(value) for value in given] != self._alike:
            return None
        if len(given[self._entering[0]]) < (1 if self._always else FEWEST_ROWS):
            return None
        state = self.last = self._state(given)
        if state is None:
            return None
        state.calls += 1
        if not state.looked and (self._always or state.calls > 1):
            self._look(state, given, always=self._always)
        return state.prepared

    def tried(self, *arguments: Any, **keywords: Any) -> Any:  # noqa: ANN401
        """What a call gives with equal rows once, even where that does not pay; None where it is not possible."""
        given = self._lookups.run(*arguments, **keywords)
        state = self.last = self._state(given) or _State()
        self._look(state, given, always=True)
        if state.prepared is None:
            return None
        result = self.run(state.prepared, *arguments, **keywords)
        if not self._always and (state.saving < LEAST_SAVING or state.rows < FEWEST_ROWS):
            state.prepared = None
        return result

    def explained(self, report: dict[str, str]) -> dict[str, str]:
        """What is said of each layer, and how many rows the last graph has of it before and after."""
        state = self.last
        if state is None or not state.looked:
            return dict(report)
        told = {}
        for path, said in report.items():
            depth = self.layers.get(path, len(state.colours))
            rows = f"; {state.rows:,} rows, {state.colours[depth]:,} differ" if depth < len(state.colours) else ""
            told[path] = said + rows
        share = f"{state.saving:.0%} of the work"
        why = state.refused or f"that would save {share}"
        once = state.prepared is not None
        told[""] += f"; equal rows once, which saves {share}" if once else f"; equal rows not once: {why}"
        return told

    def _state(self, given: Sequence[Any]) -> _State | None:
        """What is known of a graph, None for one that could not be found again."""
        values = [matrix_of(value) or value for value in given]
        parts = [part for part in values if isinstance(part, Tensor | CsrMatrix)]
        if not all(isinstance(part, CsrMatrix) or _is_plain(part) for part in parts):
            return None
        return self._cache.get(
            tuple(value for value in values if not isinstance(value, Tensor | CsrMatrix)), _State, *parts
        )

    @torch.inference_mode(mode=False)
    @torch.no_grad()
    def _look(self, state: _State, given: Sequence[Any], *, always: bool) -> None:
        state.looked = True
        try:
            graph = coloured(
                given, self._entering, self._hops, lambda colours: not always and self._saving(colours) < LEAST_SAVING
            )
            state.saving = self._saving(graph.colours)
            state.rows, state.colours = graph.rows, [len(colours) for colours in graph.colours]
            if len(graph.colours) > len(self._hops) and (always or state.saving >= LEAST_SAVING):
                state.prepared = [request.make(graph) for request in self._requests]
        except SettingError as error:
            state.refused = str(error)
        # Whatever is wrong with a graph, the module itself says it best.
        except Exception as error:
            state.refused = f"that failed ({type(error).__name__})"

    def _saving(self, colours: list[Colours]) -> float:
        """The share of the work that is saved, at most where there are colours of greater depths."""
        counts = [len(each) for each in colours]
        counts += [counts[-1]] * (len(self._costs) - len(counts))
        rows = len(colours[0].of_row)
        done = sum(cost * count / rows for cost, count in zip(self._costs, counts, strict=False)) + self._whole
        return 1 - done / (sum(self._costs) + self._whole)


def deduplicated(
    traced: fx.GraphModule, call: BoundArguments, agrees: Callable[[Any], bool], *, always: bool
) -> tuple[Deduplication | None, str]:
    """A trace with equal rows once and "", or None and why not; for the call, its result must agree."""
    arguments, keywords = call.args, call.kwargs
    call.apply_defaults()
    try:
        deduplication = Deduplication(RowsByColour(traced, traced.graph, call.args), always=always)
        if agrees(deduplication.tried(*arguments, **keywords)):
            return deduplication, ""
        why = deduplication.last.refused if deduplication.last is not None else ""
        return None, f"; equal rows not once: {why or 'that gave something else than the module'}"
    except SettingError as error:
        return None, f"; equal rows not once: {error}"
    # It is tried with numbers for which nobody wrote it; what fails here runs as it is.
    except Exception as error:
        return None, f"; equal rows not once, since that failed ({type(error).__name__})"


def _alike(value: Any) -> object:  # noqa: ANN401
    return (Tensor, value.dtype, value.dim()) if isinstance(value, Tensor) else type(value)


def _is_plain(tensor: Tensor) -> bool:
    """Whether a tensor is in memory as it is and asks for no gradient."""
    learns = tensor.requires_grad and torch.is_grad_enabled()
    return type(tensor) in (Tensor, torch.nn.Parameter) and tensor.is_cpu and not learns

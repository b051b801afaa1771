"""Sums of neighbours' rows that a softmax of scores weighs, head by head, by the fastest kernel of this machine."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from gnn.layers import CsrMatrix, bag_sum
from gnn.native.activations import NOTHING, Activation
from gnn.native.aggregation import plain_maximum, require_rows
from gnn.native.fastest import fastest, rows_class
from gnn.native.library import kernels, library
from gnn.native.tensors import taken

SCORES = {"additive": 0, "masked": 1, "scaled": 2, "dynamic": 3}
WAYS: dict[tuple[object, ...], str] = {}


@dataclass(frozen=True, eq=False)
class Attention:
    """How the rows of sources and targets score an entry, for each of `heads` side by side.

    additive: LeakyReLU(a . source + b . target + edge), as in GAT. masked: LeakyReLU((a . source + b . target)
    sigmoid(source . target)), as in SuperGAT's MX. scaled: LeakyReLU(source . target / sqrt(channels)), as in its SD.
    dynamic: a . LeakyReLU(source + target), as in GATv2. `mean` takes the mean of the heads instead of all of them.

    Shapes: of_source (a) and of_target (b) [heads * channels], None where there is none.
    """

    score: str
    heads: int
    channels: int
    slope: float
    mean: bool = False
    of_source: Tensor | None = None
    of_target: Tensor | None = None

    def __call__(
        self,
        matrix: CsrMatrix,
        rows: tuple[Tensor, Tensor],
        edge: Tensor | None = None,
        base: Tensor | None = None,
        activation: Activation = NOTHING,
    ) -> Tensor:
        """activation(sums + base) for the rows of sources and targets; a row without entries sums up to 0.

        Raises `SettingError` for sources that are not one for each column.
        Shapes: matrix (targets, sources), rows [sources, heads * channels] and [targets, heads * channels], edge
        [entries, heads], base [out] or [targets, out] -> [targets, out], out = channels, times heads without `mean`.
        """
        require_rows(matrix, rows[0])
        if library() is None or not taken(*rows, edge, base, self.of_source, self.of_target):
            return self.plain(matrix, rows, edge, base, activation)
        entries = len(matrix.column) // max(1, matrix.shape[0])
        kind = (self.score, self.heads, self.channels, self.mean)
        key = ("attention", *kind, entries, rows_class(matrix.shape[0]), activation.name)
        if key not in WAYS:
            ways = {
                "torch": lambda: self.plain(matrix, rows, edge, base, activation),
                "native": lambda: self._native(matrix, rows, edge, base, activation),
            }
            WAYS[key] = fastest(key, ways)
        return (self._native if WAYS[key] == "native" else self.plain)(matrix, rows, edge, base, activation)

    def plain(
        self,
        matrix: CsrMatrix,
        rows: tuple[Tensor, Tensor],
        edge: Tensor | None,
        base: Tensor | None,
        activation: Activation,
    ) -> Tensor:
        """The same in PyTorch: embedding bags of the entries of each row."""
        row, pointer = matrix.row, matrix.row_pointer
        sources, targets = (side.view(-1, self.heads, self.channels) for side in rows)
        score = self._scores(sources.index_select(0, matrix.column), targets.index_select(0, row), edge)
        entry = torch.arange(len(row), device=row.device)
        of_entries = CsrMatrix(pointer, entry, matrix.value, (matrix.shape[0], len(entry)))
        power = (score - plain_maximum(of_entries, score.detach()).index_select(0, row)).exp()
        ones = torch.ones(len(row), device=row.device, dtype=power.dtype)
        weight = power / bag_sum(pointer, entry, ones, power).index_select(0, row)
        heads = [
            bag_sum(pointer, matrix.column, weight[:, head].contiguous(), sources[:, head])
            for head in range(self.heads)
        ]
        out = torch.stack(heads).mean(0) if self.mean else torch.cat(heads, dim=1)
        return activation.in_place(out if base is None else out + base)

    def _scores(self, source: Tensor, target: Tensor, edge: Tensor | None) -> Tensor:
        """Of the rows of both ends of entries, [entries, heads, channels] each -> [entries, heads]."""
        if self.score == "dynamic":
            return (functional.leaky_relu(source + target, self.slope) * self._by_head(self.of_source)).sum(2)
        if self.score == "scaled":
            score = (source * target).sum(2) / self.channels**0.5
        else:
            score = (source * self._by_head(self.of_source)).sum(2) + (target * self._by_head(self.of_target)).sum(2)
        if self.score == "masked":
            score = score * (source * target).sum(2).sigmoid()
        return functional.leaky_relu(score if edge is None else score + edge, self.slope)

    def _by_head(self, attention: Tensor | None) -> Tensor | float:
        return 1.0 if attention is None else attention.view(self.heads, self.channels)

    def _native(
        self,
        matrix: CsrMatrix,
        rows: tuple[Tensor, Tensor],
        edge: Tensor | None,
        base: Tensor | None,
        activation: Activation,
    ) -> Tensor:
        pointer, column, _ = matrix.compact
        source, target = rows[0].contiguous(), rows[1].contiguous()
        edge, base = (part if part is None else part.contiguous() for part in (edge, base))
        targets, sources = matrix.shape
        out = torch.empty(targets, self.channels if self.mean else self.heads * self.channels)
        failed = kernels().attend(
            pointer.data_ptr(),
            column.data_ptr(),
            targets,
            source.data_ptr(),
            sources,
            target.data_ptr(),
            None if edge is None else edge.data_ptr(),
            SCORES[self.score],
            self.heads,
            self.channels,
            None if self.of_source is None else self.of_source.data_ptr(),
            None if self.of_target is None else self.of_target.data_ptr(),
            self.slope,
            None if base is None else base.data_ptr(),
            out.shape[1] if base is not None and base.dim() > 1 else 0,
            out.data_ptr(),
            self.mean,
            activation.number,
            activation.alpha,
        )
        return self.plain(matrix, rows, edge, base, activation) if failed else out

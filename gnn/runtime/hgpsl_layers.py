"""How HGP-SL's pooling and convolutions are lowered.

A last digit may decide which of two nodes a pooling keeps, so that all numbers here are the layers' own, bit for bit.
"""

import torch
from torch import Tensor

from gnn.errors import SettingError
from gnn.layers import CsrMatrix, bag_sum
from gnn.layers.hgpsl_convolution import HgpSlConvolution
from gnn.layers.hgpsl_pool import HgpSlPool, PooledGraphs, information_score
from gnn.layers.rules import lower
from gnn.native import NOTHING
from gnn.native.fastest import fastest, rows_class
from gnn.native.library import library
from gnn.native.pooling import native_best_nodes, native_learned_edges
from gnn.native.tensors import taken
from gnn.runtime.kernels import Kernel, require_numbers


class LearnedConvolution(Kernel):
    """HgpSlConvolution without a gradient of its edges. Shapes as there."""

    name = "one product and an embedding bag"

    def __init__(self, layer: HgpSlConvolution) -> None:
        super().__init__()
        require_numbers(layer.weight, layer.bias)
        self.activation = NOTHING
        self.weight, self.bias = layer.weight.detach(), layer.bias.detach()

    def forward(self, features: Tensor, adjacency: CsrMatrix) -> Tensor:
        """Project, then aggregate."""
        projected = features @ self.weight
        out = bag_sum(adjacency.row_pointer, adjacency.column, adjacency.value, projected)
        return self.activation.in_place(out.add_(self.bias))


class Pooling(Kernel):
    """HgpSlPool as the paper has it: edges learned within reach, by a sparsemax."""

    name = "pooling by one walk from each node that stays"

    def __init__(self, layer: HgpSlPool) -> None:
        super().__init__()
        require_numbers(layer.att)
        if not (layer.structure_learning and layer.sample_neighbors and layer.sparse_attention):
            raise SettingError("only learned edges between sampled neighbours by sparse attention have a kernel")
        self._own, self._attend = layer.forward, layer.attend
        self.ratio, self.slope, self.structure_weight = layer.ratio, layer.negative_slope, layer.structure_weight
        self._ways: dict[tuple[int, ...], str] = {}

    def forward(self, features: Tensor, adjacency: CsrMatrix, node_pointer: Tensor) -> PooledGraphs:
        """Keep the best nodes and learn the edges between them."""
        if library() is None or not self._takes(features, adjacency, node_pointer):
            return self._own(features, adjacency, node_pointer)
        key = (features.shape[1], rows_class(len(features)))
        if key not in self._ways:
            ways = {
                "torch": lambda: self._own(features, adjacency, node_pointer),
                "native": lambda: self._native(features, adjacency, node_pointer),
            }
            self._ways[key] = fastest(("pooling", *key), ways)
        return (self._native if self._ways[key] == "native" else self._own)(features, adjacency, node_pointer)

    def _native(self, features: Tensor, adjacency: CsrMatrix, node_pointer: Tensor) -> PooledGraphs:
        score, sizes = information_score(features, adjacency), node_pointer.diff()
        count = (self.ratio * sizes.float()).ceil().to(sizes.dtype)
        kept_pointer = torch.cat([count.new_zeros(1), count.cumsum(0)])
        chosen = native_best_nodes(score, node_pointer, kept_pointer)
        kept = features.index_select(0, chosen)
        learned = native_learned_edges(adjacency, chosen, self._attend(kept), self.slope, self.structure_weight)
        return PooledGraphs(kept, learned, kept_pointer, chosen)

    def _takes(self, features: Tensor, adjacency: CsrMatrix, pointer: Tensor) -> bool:
        """Whether these are graphs of nodes [nodes, channels], one after the other."""
        nodes = len(features)
        return (
            features.dim() == 2
            and adjacency.shape == (nodes, nodes)
            and taken(features, adjacency.value)
            and pointer.dtype is torch.int64
            and pointer.is_cpu
            and pointer.is_contiguous()
            and int(pointer[0]) == 0
            and int(pointer[-1]) == nodes
            and not bool((pointer.diff() < 0).any())
        )


lower.register(HgpSlConvolution)(LearnedConvolution)
lower.register(HgpSlPool)(Pooling)

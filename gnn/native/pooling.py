"""HGP-SL's pooling in compiled kernels; `gnn.layers.hgpsl_pool` has the same in PyTorch."""

import torch
from torch import Tensor

from gnn.layers import CsrMatrix
from gnn.native.library import kernels

# Learned edges for each node; of more they are counted first, and written in a second pass.
USUAL_DEGREE = 8


def native_best_nodes(score: Tensor, node_pointer: Tensor, kept_pointer: Tensor) -> Tensor:
    """The nodes with the highest scores of each graph, best first, equal ones in their order.

    Shapes: score [nodes], not negative; node_pointer and kept_pointer [graphs + 1], before and after -> [nodes left].
    """
    score, chosen = score.contiguous(), torch.empty(int(kept_pointer[-1]), dtype=torch.int64)
    places = _places(score, node_pointer, kept_pointer)
    _require_memory(kernels().best_nodes(*places, len(node_pointer) - 1, chosen.data_ptr()))
    return chosen


def native_learned_edges(
    adjacency: CsrMatrix, chosen: Tensor, halves: Tensor, slope: float, structure_weight: float
) -> CsrMatrix:
    """The sparse attention of chosen nodes to those within four hops, as a matrix with targets as rows.

    Shapes: adjacency (nodes, nodes); chosen [chosen nodes]; halves [chosen nodes, 2], what a node adds to the attention
    of its edges as source and as target -> (chosen nodes, chosen nodes).
    """
    kept, halves = len(chosen), halves.contiguous()
    graph, pointer = _places(*adjacency.compact), torch.empty(kept + 1, dtype=torch.int32)

    def learn(capacity: int) -> tuple[int, Tensor, Tensor]:
        column, value = torch.empty(capacity, dtype=torch.int32), torch.empty(capacity)
        nodes = (adjacency.shape[0], chosen.data_ptr(), kept, halves.data_ptr())
        written = _places(pointer, column, value)
        edges = kernels().learn_edges(*graph, *nodes, slope, structure_weight, *written, capacity)
        _require_memory(edges < 0)
        return edges, column[:edges], value[:edges]

    edges, column, value = learn(USUAL_DEGREE * kept)
    if edges > len(column):
        _, column, value = learn(edges)
    matrix = CsrMatrix(pointer.long(), column.long(), value, (kept, kept))
    matrix.__dict__["compact"] = (pointer, column, value)
    return matrix


def _require_memory(failed: int) -> None:
    if failed:
        raise MemoryError("there is no memory to pool these graphs; give smaller batches")


def _places(*tensors: Tensor) -> list[int]:
    return [tensor.data_ptr() for tensor in tensors]

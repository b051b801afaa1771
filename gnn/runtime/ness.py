"""NESS as three kernels: one embedding bag per sparse product, and the inner products of the asked pairs."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gnn.layers import CsrMatrix, bag_sum
from gnn.models.ness import Ness
from gnn.runtime.registry import RUNTIMES
from gnn.tasks import LinkPrediction


@dataclass(frozen=True, eq=False)
class NessInference:
    """NESS with the mean of its subgraphs' adjacencies built; call it for the logits [pairs] of the test pairs.

    Words whose weights are all zero are dropped from the features and from the table.
    """

    features: CsrMatrix
    adjacency: CsrMatrix
    weight: Tensor
    bias: Tensor
    pairs: Tensor

    @torch.inference_mode()
    def __call__(self) -> Tensor:
        """Embed all nodes, then decode the pairs."""
        features, adjacency = self.features, self.adjacency
        projected = bag_sum(features.row_pointer, features.column, features.value, self.weight)
        embedding = bag_sum(adjacency.row_pointer, adjacency.column, adjacency.value, projected).add_(self.bias)
        return embedding[self.pairs[0]].mul_(embedding[self.pairs[1]]).sum(dim=1)


@RUNTIMES.register("ness")
@torch.no_grad()
def compile_ness(model: Ness, task: LinkPrediction) -> NessInference:
    """Build the mean adjacency and drop the words that no weight looks at."""
    inputs = model.prepare(task)
    table = model.lin.weight.t()
    used = (table != 0).any(dim=1)
    return NessInference(
        features=inputs.features.keep_columns(used),
        adjacency=inputs.mean_adjacency,
        weight=table[used].contiguous(),
        bias=model.lin.bias.clone(),
        pairs=task.test.pairs.clone(),
    )

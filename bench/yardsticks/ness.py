"""The yardstick for NESS: one subgraph after the other as the equations read, dense features and gather-scatter."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from gnn.models.ness import Ness, contrastive_loss, partition, undirected_edges
from gnn.runtime import Inference
from gnn.tasks import LinkPrediction


@dataclass(frozen=True, eq=False)
class EagerNessInputs:
    """Dense features [nodes, channels], undirected edges [2, edges], and the subgraph of each [edges]."""

    features: Tensor
    edges: Tensor
    part: Tensor


class EagerNess(Ness):
    """NESS in plain eager PyTorch: each subgraph projects dense features and sends one message per edge."""

    def prepare(self, task: LinkPrediction) -> EagerNessInputs:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Make the features dense and split the edges."""
        edges = undirected_edges(task.edge_index, task.nodes)
        return EagerNessInputs(task.features.to_dense(), edges, partition(edges, self.settings))

    def forward(self, inputs: EagerNessInputs) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The mean embedding of every node."""
        return torch.stack(self._encode_each(inputs)).mean(dim=0)

    def losses(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        task: LinkPrediction,
        inputs: EagerNessInputs,
        batch_size: int | None,  # noqa: ARG002
    ) -> Iterator[Tensor]:
        """The whole training graph reconstructed from each subgraph in turn, and how unlike their embeddings are."""
        positive = task.train.positive
        pairs = torch.cat([positive, task.draw_negatives(positive.shape[1])], dim=1)
        embeddings = self._encode_each(inputs)
        logits = [self.decode(embedding, pairs) for embedding in embeddings]
        loss = torch.stack([task.loss(of_subgraph, "train") for of_subgraph in logits]).mean()
        if self.settings.contrastive_weight:
            of_nodes = contrastive_loss(torch.stack(embeddings, dim=1), self.settings.temperature)
            loss = loss + self.settings.contrastive_weight * of_nodes
        yield loss

    def _encode_each(self, inputs: EagerNessInputs) -> list[Tensor]:
        dropout = self.settings.edge_dropout if self.training else 0
        part = inputs.part
        if dropout:
            part = part.masked_fill(torch.rand(len(part), device=part.device) < dropout, -1)
        parts = range(self.settings.subgraphs)
        return [self._encode(inputs.features, inputs.edges[:, part == number]) for number in parts]

    def _encode(self, features: Tensor, edges: Tensor) -> Tensor:
        loops = torch.arange(len(features), device=edges.device).expand(2, -1)
        source, target = torch.cat([edges, edges.flip(0), loops], dim=1)
        scale = torch.bincount(target, minlength=len(features)).rsqrt()
        projected = features @ self.lin.weight.t()
        messages = (scale[source] * scale[target])[:, None] * projected[source]
        return torch.zeros_like(projected).index_add(0, target, messages) + self.lin.bias


def eager_ness(model: Ness, task: LinkPrediction) -> Inference:
    """The test pairs' logits by the eager net with the weights of `model`."""
    eager = EagerNess(model.settings)
    eager.load_state_dict(model.state_dict())
    eager.to(model.lin.weight.device).eval()
    inputs = eager.prepare(task)
    return torch.inference_mode()(lambda: eager.outputs(task, inputs, "test"))

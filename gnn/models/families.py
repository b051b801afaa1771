"""What models of one kind of task have in common: how they are fed, trained and asked."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from gnn.models.registry import GraphModel
from gnn.tasks import GraphBatch, GraphClassification, LinkPrediction, NodeClassification


class NodeClassifier(GraphModel):
    """A model whose `forward(inputs)` gives the logits of all nodes, [nodes, classes]; one step is one epoch."""

    def losses(self, task: NodeClassification, inputs: Any, batch_size: int | None) -> Iterator[Tensor]:  # noqa: ANN401, ARG002
        """The loss of all training nodes at once."""
        yield task.loss(self(inputs)[task.split.train], "train")

    def outputs(self, task: NodeClassification, inputs: Any, part: str) -> Tensor:  # noqa: ANN401
        """Logits of the nodes of one part."""
        return self(inputs)[getattr(task.split, part)]

    def infer(self, task: NodeClassification, inputs: Any) -> Tensor:  # noqa: ANN401, ARG002
        """Logits of all nodes at once."""
        return self(inputs)


def fewest_nodes(model: nn.Module) -> int:
    """The nodes that a training batch must have: batch normalisation of nodes cannot learn from a single one."""
    return 2 if any(isinstance(module, nn.BatchNorm1d) for module in model.modules()) else 0


class GraphClassifier(GraphModel):
    """A model whose `forward(batch)` gives the logits of a batch of graphs, [graphs, classes]."""

    def prepare(self, task: GraphClassification) -> dict[str, GraphBatch]:
        """The parts that are evaluated, each as one batch; training graphs are shuffled into batches instead."""
        return {part: task.batch(part) for part in ("validation", "test")}

    def losses(self, task: GraphClassification, inputs: Any, batch_size: int | None) -> Iterator[Tensor]:  # noqa: ANN401, ARG002
        """The mean loss of one shuffled batch after the other."""
        for batch in self.training_batches(task, batch_size):
            yield task.objective.loss(self(batch), batch.labels)

    def training_batches(self, task: GraphClassification, batch_size: int | None) -> Iterator[GraphBatch]:
        """The task's shuffled batches."""
        return task.shuffled_batches(batch_size or len(task.split.train), fewest_nodes(self))

    def outputs(self, task: GraphClassification, inputs: dict[str, GraphBatch], part: str) -> Tensor:
        """Logits of the graphs of one part."""
        return self(inputs[part] if part in inputs else task.batch(part))


class LinkPredictor(GraphModel):
    """A model whose `forward(inputs)` embeds all nodes, [nodes, channels]; a pair's logit is `decode`d from them."""

    def decode(self, embedding: Tensor, pairs: Tensor) -> Tensor:
        """Logits of pairs of nodes, the inner product of their embeddings; pairs [2, pairs] -> [pairs]."""
        if torch.is_grad_enabled():
            return (embedding[pairs[0]] * embedding[pairs[1]]).sum(dim=1)
        # The same numbers in half the time; its gradient would add up in another order.
        first, second = pairs.unbind()
        return embedding.index_select(0, first).mul_(embedding.index_select(0, second)).sum(dim=1)

    def losses(self, task: LinkPrediction, inputs: Any, batch_size: int | None) -> Iterator[Tensor]:  # noqa: ANN401, ARG002
        """Binary cross-entropy of all training edges and as many pairs without one, drawn anew."""
        positive = task.train.positive
        pairs = torch.cat([positive, task.draw_negatives(positive.shape[1])], dim=1)
        yield task.loss(self.decode(self(inputs), pairs), "train")

    def outputs(self, task: LinkPrediction, inputs: Any, part: str) -> Tensor:  # noqa: ANN401
        """Logits of the pairs of one part."""
        return self.decode(self(inputs), task.links(part).pairs)

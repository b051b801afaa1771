"""A family trains its models on the training part, batch by batch, and answers in the order of a part."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from gnn.determinism import deterministic
from gnn.layers import CsrMatrix
from gnn.models import GraphClassifier, GraphModel, LinkPredictor, NodeClassifier
from gnn.tasks import GraphBatch, GraphClassification, GraphCollection, LinkPrediction, Links, NodeClassification, Split
from gnn.training import evaluate, fit
from gnn.training_settings import TrainingSettings

PARTS_OF_GRAPHS = Split(torch.tensor([9, 0, 4, 7, 2, 6, 1]), torch.tensor([8, 3]), torch.tensor([11, 5, 10]))
NODES_OF_GRAPHS = [1, 4, 2, 3, 1, 5, 2, 2, 3, 1, 4, 2]
PARTS_OF_NODES = Split(torch.tensor([5, 200, 17, 3, 90]), torch.tensor([60, 2]), torch.tensor([209, 0, 100]))


class WordNet(NodeClassifier):
    """Logits of a node are the sum of its words' vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(80, 7))

    def prepare(self, task: NodeClassification) -> CsrMatrix:
        return task.graph.features

    def forward(self, features: CsrMatrix) -> Tensor:
        return features @ self.vectors


class SumNet(GraphClassifier):
    """Logits of a graph are a linear map of the sum of its nodes; what it was asked for is noted."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.batches: list[list[int]] = []

    def forward(self, batch: GraphBatch) -> Tensor:
        total = batch.features.new_zeros(len(batch.labels), 2).index_add(0, batch.graph_of_node, batch.features)
        self.batches.append(numbers_of(batch))
        return self.linear(total / torch.tensor([1.0, 10.0]))


class PairNet(LinkPredictor):
    """A node's embedding is its row of a table; the pairs that were decoded are noted."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 3)
        self.pairs: list[Tensor] = []

    def prepare(self, task: LinkPrediction) -> Tensor:
        return torch.arange(task.nodes)

    def forward(self, nodes: Tensor) -> Tensor:
        return self.table(nodes)

    def decode(self, embedding: Tensor, pairs: Tensor) -> Tensor:
        self.pairs.append(pairs)
        return super().decode(embedding, pairs)


def numbers_of(batch: GraphBatch) -> list[int]:
    """The numbers of the graphs of a batch, which are the second feature of their first nodes."""
    return [int(number) for number in batch.features[batch.node_pointer[:-1], 1]]


@pytest.fixture
def nodes(small_task: NodeClassification) -> NodeClassification:
    """The small task with parts in no order."""
    return replace(small_task, split=PARTS_OF_NODES)


@pytest.fixture
def graphs() -> GraphClassification:
    """Twelve graphs without edges; the second feature of a graph's nodes is its number."""
    pointer = torch.tensor([0, *NODES_OF_GRAPHS]).cumsum(0)
    number = torch.repeat_interleave(torch.arange(12), torch.tensor(NODES_OF_GRAPHS))
    features = torch.stack([torch.linspace(-1, 1, len(number)), number.float()], dim=1)
    no_edges = torch.zeros(2, 0, dtype=torch.int64)
    collection = GraphCollection.from_edges(features, no_edges, pointer, torch.arange(12) % 2)
    return GraphClassification("planted-graphs", "planted", "clean", collection, PARTS_OF_GRAPHS, classes=2)


@pytest.fixture
def links() -> LinkPrediction:
    """A ring of ten nodes: seven edges to train on, one to validate, two to test."""
    ring = torch.stack([torch.arange(10), (torch.arange(10) + 1) % 10])
    apart = torch.stack([torch.arange(10), (torch.arange(10) + 5) % 10])
    nodes = torch.arange(10)
    return LinkPrediction(
        name="planted-ring",
        source="planted",
        protocol="clean",
        features=CsrMatrix.from_coordinates(nodes, nodes, torch.ones(10), (10, 10)),
        edge_index=torch.cat([ring[:, :7], ring[:, :7].flip(0)], dim=1),
        train=Links(ring[:, :7], apart[:, :7]),
        validation=Links(ring[:, 7:8], apart[:, 7:8]),
        test=Links(ring[:, 8:], apart[:, 8:]),
        graph_edges=10,
        classes=2,
    )


@pytest.mark.parametrize("batch_size", [None, 2])
def test_a_node_classifier_takes_one_step_with_all_training_nodes(
    nodes: NodeClassification, batch_size: int | None
) -> None:
    model = WordNet()
    inputs = model.prepare(nodes)
    (loss,) = model.losses(nodes, inputs, batch_size)
    train = nodes.split.train
    torch.testing.assert_close(loss, functional.cross_entropy(model(inputs)[train], nodes.graph.labels[train]))
    loss.backward()
    used = nodes.graph.features.to_dense()[train].any(dim=0)
    assert model.vectors.grad is not None
    assert torch.equal(model.vectors.grad.any(dim=1), used)
    assert not used.all()


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_a_node_classifier_answers_for_the_nodes_of_a_part_in_its_order(nodes: NodeClassification, part: str) -> None:
    model = WordNet()
    inputs = model.prepare(nodes)
    index = getattr(nodes.split, part)
    assert torch.equal(model.outputs(nodes, inputs, part), model(inputs)[index])


@pytest.mark.parametrize(("batch_size", "sizes"), [(None, [7]), (3, [3, 3, 1]), (7, [7]), (100, [7]), (1, [1] * 7)])
def test_a_graph_classifier_sees_every_training_graph_once_per_epoch(
    graphs: GraphClassification, batch_size: int | None, sizes: list[int]
) -> None:
    model = SumNet()
    losses = list(model.losses(graphs, model.prepare(graphs), batch_size))
    assert len(losses) == len(sizes)
    assert [len(batch) for batch in model.batches] == sizes
    assert sorted(itertools.chain(*model.batches)) == sorted(PARTS_OF_GRAPHS.train.tolist())


def test_the_loss_of_a_batch_is_the_mean_over_its_graphs(graphs: GraphClassification) -> None:
    model = SumNet()
    inputs = model.prepare(graphs)
    losses = list(model.losses(graphs, inputs, 3))
    weighted = sum(loss * len(batch) for loss, batch in zip(losses, model.batches, strict=True)) / 7
    torch.testing.assert_close(weighted, graphs.loss(model.outputs(graphs, inputs, "train"), "train"))


def test_a_graph_classifier_shuffles_anew_in_every_epoch_as_its_seed_says(graphs: GraphClassification) -> None:
    drawn = []
    for seed in (0, 0, 1):
        model = SumNet()
        with deterministic(seed):
            for _ in range(2):
                list(model.losses(graphs, {}, None))
        drawn.append(model.batches)
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0][0] != drawn[0][1]


def test_a_batch_is_computed_only_when_its_loss_is_asked_for(graphs: GraphClassification) -> None:
    model = SumNet()
    losses = model.losses(graphs, {}, 3)
    assert model.batches == []
    next(losses)
    assert len(model.batches) == 1


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_a_graph_classifier_answers_for_the_graphs_of_a_part_in_its_order(
    graphs: GraphClassification, part: str
) -> None:
    model = SumNet()
    inputs = model.prepare(graphs)
    outputs = model.outputs(graphs, inputs, part)
    index = getattr(PARTS_OF_GRAPHS, part)
    assert model.batches == [index.tolist()]
    alone = [model(graphs.collection.select(graph[None])) for graph in index]
    torch.testing.assert_close(outputs, torch.cat(alone))


def test_the_parts_that_are_evaluated_are_batched_once(graphs: GraphClassification) -> None:
    prepared = SumNet().prepare(graphs)
    assert {part: numbers_of(batch) for part, batch in prepared.items()} == {"validation": [8, 3], "test": [11, 5, 10]}


def test_a_link_predictor_learns_from_all_edges_and_as_many_pairs_without_one(links: LinkPrediction) -> None:
    model = PairNet()
    (loss,) = model.losses(links, model.prepare(links), None)
    (pairs,) = model.pairs
    positive, negative = pairs[:, :7], pairs[:, 7:]
    assert torch.equal(positive, links.train.positive)
    assert negative.shape == (2, 7)
    edges = {frozenset(edge) for edge in positive.T.tolist()}
    assert all(len({*pair}) == 2 and frozenset(pair) not in edges for pair in negative.T.tolist())
    logits = (model.table.weight[pairs[0]] * model.table.weight[pairs[1]]).sum(1)
    labels = torch.tensor([1.0] * 7 + [0.0] * 7)
    torch.testing.assert_close(loss, functional.binary_cross_entropy_with_logits(logits, labels))


def test_pairs_without_an_edge_are_drawn_anew_in_every_epoch_as_the_seed_says(links: LinkPrediction) -> None:
    drawn = []
    for seed in (0, 0, 1):
        model = PairNet()
        with deterministic(seed):
            for _ in range(2):
                list(model.losses(links, model.prepare(links), None))
        drawn.append([pairs.tolist() for pairs in model.pairs])
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0][0] != drawn[0][1]


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_a_link_predictor_answers_for_the_pairs_of_a_part_edges_first(links: LinkPrediction, part: str) -> None:
    model = PairNet()
    outputs = model.outputs(links, model.prepare(links), part)
    of_part = links.links(part)
    assert torch.equal(model.pairs[0], torch.cat([of_part.positive, of_part.negative], dim=1))
    table = model.table.weight.detach()
    expected = [float(table[a] @ table[b]) for a, b in model.pairs[0].T.tolist()]
    assert outputs.tolist() == pytest.approx(expected, abs=1e-5)
    assert of_part.labels.tolist() == [1.0] * of_part.positive.shape[1] + [0.0] * of_part.negative.shape[1]


@pytest.mark.parametrize(("kind", "net"), [("nodes", WordNet), ("graphs", SumNet), ("links", PairNet)])
def test_a_model_of_every_family_is_trained_and_evaluated_and_repeats_to_the_bit(
    request: pytest.FixtureRequest, kind: str, net: Callable[[], GraphModel]
) -> None:
    task: Any = request.getfixturevalue(kind)
    settings = TrainingSettings(0.05, 0.0, epochs=6, patience=6, batch_size=3, select_by="loss")
    trained = []
    for seed in (0, 0, 1):
        with deterministic(0):
            model = net()
        before = torch.cat([parameter.detach().flatten() for parameter in model.parameters()]).clone()
        fit(model, task, settings, seed)
        trained.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
        assert not torch.equal(trained[-1], before)
        outputs = model.outputs(task, model.prepare(task), "test").detach()
        assert evaluate(model, task).score == task.score(outputs, "test")
    assert torch.equal(trained[0], trained[1])
    # Only what is drawn while training can make seeds differ, and a node classifier draws nothing.
    assert torch.equal(trained[0], trained[2]) == (kind == "nodes")

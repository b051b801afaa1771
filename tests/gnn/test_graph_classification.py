"""Graph classification: parts in the order of the split, loss, scores, fingerprint and the row of Table 1."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from gnn.errors import DatasetError
from gnn.tasks import GraphClassification, GraphCollection, Split
from gnn.tasks.graph_splits import grouped_random_split, random_split, scaffold_split

GRAPHS = 10


@pytest.fixture
def task() -> GraphClassification:
    """Ten paths of 1 to 10 nodes; the feature of a node is the number of its graph, odd graphs are of class 1."""
    sizes = torch.arange(1, GRAPHS + 1)
    node_pointer = torch.tensor([0, *sizes]).cumsum(0)
    node = torch.arange(int(node_pointer[-1]))
    graph = torch.repeat_interleave(torch.arange(GRAPHS), sizes)
    start = node[:-1][graph[:-1] == graph[1:]]
    edge_index = torch.stack([torch.cat([start, start + 1]), torch.cat([start + 1, start])])
    collection = GraphCollection.from_edges(graph[:, None].float(), edge_index, node_pointer, torch.arange(GRAPHS) % 2)
    split = Split(torch.tensor([7, 0, 3, 1, 8, 9]), torch.tensor([2, 6]), torch.tensor([5, 4]))
    return GraphClassification("paths", "planted", "clean", collection, split, classes=2)


def test_a_part_is_in_the_order_of_the_split(task: GraphClassification) -> None:
    batch = task.batch("test")
    assert batch.features.flatten().tolist() == [5.0] * 6 + [4.0] * 5
    assert task.targets("test").tolist() == batch.labels.tolist() == [1, 0]


@pytest.mark.parametrize("batch_size", [1, 4, 6, 100])
def test_an_epoch_has_every_training_graph_once(task: GraphClassification, batch_size: int) -> None:
    batches = list(task.shuffled_batches(batch_size))
    graphs = [int(batch.features[first]) for batch in batches for first in batch.node_pointer[:-1]]
    assert sorted(graphs) == sorted(task.split.train.tolist())
    assert [len(batch.labels) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert len(batches) == -(-6 // batch_size)


@pytest.mark.parametrize(("train", "batch_size"), [([0, 0, 0], 2), ([0, 0, 0, 4], 1), ([0, 3], 1), ([0, 0, 0, 0], 3)])
def test_a_batch_of_too_few_nodes_joins_another(task: GraphClassification, train: list[int], batch_size: int) -> None:
    # Graph 0 has one node, graph 1 two and so on.
    few = replace(task, split=replace(task.split, train=torch.tensor(train)))
    for seed in range(5):
        torch.manual_seed(seed)
        plain = [batch.features for batch in few.shuffled_batches(batch_size)]
        torch.manual_seed(seed)
        joined = [batch.features for batch in few.shuffled_batches(batch_size, fewest_nodes=2)]
        assert torch.equal(torch.cat(joined), torch.cat(plain))
        assert min(len(features) for features in joined) >= 2
        assert len(joined) < len(plain) == -(-len(train) // batch_size)


def test_batches_of_enough_nodes_stay_as_they_are(task: GraphClassification) -> None:
    torch.manual_seed(0)
    plain = [batch.features for batch in task.shuffled_batches(4, fewest_nodes=2)]
    torch.manual_seed(0)
    assert all(map(torch.equal, plain, [batch.features for batch in task.shuffled_batches(4)]))


def test_a_single_node_to_train_on_is_refused_where_it_is_too_few(task: GraphClassification) -> None:
    lone = replace(task, split=replace(task.split, train=torch.tensor([0])))
    assert len(list(lone.shuffled_batches(4))) == 1
    with pytest.raises(DatasetError) as caught:
        list(lone.shuffled_batches(4, fewest_nodes=2))
    assert str(caught.value) == (
        "the training graphs of paths have fewer than 2 nodes in all (1), too few for batch normalisation; add graphs, "
        "or choose a model without it"
    )


def test_the_order_of_an_epoch_belongs_to_the_random_state(task: GraphClassification) -> None:
    def order(seed: int) -> list[int]:
        torch.manual_seed(seed)
        return [int(batch.features[0]) for batch in task.shuffled_batches(1)]

    assert order(1) == order(1)
    assert len({tuple(order(seed)) for seed in range(5)}) > 1


def test_loss_and_accuracy_are_those_of_one_part(task: GraphClassification) -> None:
    logits = torch.tensor([[0.0, 2.0], [0.0, 1.0]])
    assert task.score(logits, "test") == 0.5
    assert task.score(logits, "validation") == 0.0
    expected = (torch.tensor(-2.0).exp().log1p() + torch.tensor(1.0).exp().log1p()) / 2
    assert task.loss(logits, "test").item() == pytest.approx(expected.item())


def test_the_majority_class_of_the_test_part_is_told(task: GraphClassification) -> None:
    unused = torch.zeros(0, 2)
    assert task.other_scores(unused, unused) == {"majority_class": 0.5}
    lopsided = replace(task, split=replace(task.split, test=torch.tensor([1, 3, 4, 5])))
    assert lopsided.other_scores(unused, unused) == {"majority_class": 0.75}


def test_statistics_have_totals_and_the_range_of_one_graph(task: GraphClassification) -> None:
    assert task.statistics == {
        "graphs": 10,
        "nodes": 55,
        "edges": 45,
        "features": 1,
        "labels": 2,
        "nodes_per_graph": "1-10",
        "edges_per_graph": "0-9",
    }
    assert (task.feature_count, task.output_count, task.inference_batch) == (1, 2, "2 test graphs in one batch")


def other_label(task: GraphClassification) -> GraphClassification:
    return replace(task, collection=replace(task.collection, labels=1 - task.collection.labels))


def other_feature(task: GraphClassification) -> GraphClassification:
    return replace(task, collection=replace(task.collection, features=task.collection.features + 1))


def other_edges(task: GraphClassification) -> GraphClassification:
    return replace(task, collection=replace(task.collection, edge_index=task.collection.edge_index.flip(0)))


def other_split(task: GraphClassification) -> GraphClassification:
    return replace(task, split=Split(task.split.train, task.split.test, task.split.validation))


@pytest.mark.parametrize("change", [other_label, other_feature, other_edges, other_split])
def test_every_tensor_counts_in_the_fingerprint(
    task: GraphClassification, change: Callable[[GraphClassification], GraphClassification]
) -> None:
    assert change(task).sha256 != task.sha256
    assert replace(task, name="other").to("cpu").sha256 == task.sha256


@pytest.mark.parametrize(("graphs", "seed"), [(1113, 777), (2039, 0), (11, 3)])
def test_a_random_split_is_that_of_torch(graphs: int, seed: int) -> None:
    sizes = [int(graphs * 0.8), int(graphs * 0.1)]
    torch.manual_seed(seed)
    expected = torch.utils.data.random_split(range(graphs), [*sizes, graphs - sum(sizes)])  # pyright: ignore[reportArgumentType]
    before = torch.get_rng_state()
    split = random_split(graphs, seed)
    assert [part.tolist() for part in (split.train, split.validation, split.test)] == [
        list(part.indices) for part in expected
    ]
    assert torch.equal(torch.get_rng_state(), before)


def test_without_repetitions_a_grouped_split_is_the_random_one() -> None:
    split, expected = grouped_random_split(torch.arange(50), seed=3), random_split(50, seed=3)
    assert torch.equal(split.train, expected.train)
    assert torch.equal(split.validation, expected.validation)
    assert torch.equal(split.test, expected.test)


def test_a_group_goes_where_its_first_graph_goes_and_the_others_stay() -> None:
    expected = random_split(50, seed=3)
    tested, *further = expected.test.sort().values.tolist()[0], *expected.train.sort().values.tolist()[-2:]
    group = torch.arange(50)
    group[further] = tested
    split = grouped_random_split(group, seed=3)
    assert split.train.tolist() == [graph for graph in expected.train.tolist() if graph not in further]
    assert split.validation.tolist() == expected.validation.tolist()
    assert set(split.test.tolist()) == {*expected.test.tolist(), *further}


def test_scaffolds_go_whole_to_the_first_part_with_room_and_late_ties_first() -> None:
    # Groups: 0 has five graphs, 1 has three, 2 and 3 one each; 8 fit into training, 1 into validation.
    scaffold = torch.tensor([2, 0, 1, 0, 0, 3, 1, 0, 1, 0])
    split = scaffold_split(scaffold)
    assert split.train.tolist() == [1, 3, 4, 7, 9, 2, 6, 8]
    assert split.validation.tolist() == [5]
    assert split.test.tolist() == [0]


def test_a_scaffold_that_fits_nowhere_else_is_tested() -> None:
    split = scaffold_split(torch.tensor([0] * 6 + [1] * 4))
    assert split.train.tolist() == [0, 1, 2, 3, 4, 5]
    assert split.test.tolist() == [6, 7, 8, 9]
    assert (split.validation.tolist(), split.validation.dtype) == ([], torch.int64)


def test_a_small_scaffold_fills_what_a_large_one_left() -> None:
    split = scaffold_split(torch.tensor([0] * 6 + [1] * 3 + [2]))
    assert split.train.tolist() == [0, 1, 2, 3, 4, 5, 9]
    assert split.validation.tolist() == [6, 7, 8]

"""WalkPooling learns, repeats exactly, and never sees the link that it is asked about."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from gnn.determinism import deterministic
from gnn.errors import DatasetError
from gnn.layers import CsrMatrix
from gnn.models import walkpooling
from gnn.models.walkpooling import WalkPoolingNet, WalkPoolingSettings, batch_count
from gnn.tasks import LinkPrediction, Links
from gnn.training import evaluate, fit, outputs_of
from gnn.training_settings import TrainingSettings

NODES, GROUP, WORDS = 48, 8, 12
TRAINING = TrainingSettings(learning_rate=5e-3, weight_decay=0, epochs=4, patience=4, batch_size=16)


def build_task() -> LinkPrediction:
    """Six groups of 8 nodes; 60% of all pairs inside are linked, and one word tells three pairs of groups apart."""
    generator = torch.Generator().manual_seed(0)
    pairs = torch.combinations(torch.arange(NODES)).t()
    linked = (pairs[0] // GROUP == pairs[1] // GROUP) & (torch.rand(pairs.shape[1], generator=generator) < 0.6)
    positive, negative = pairs[:, linked], pairs[:, ~linked]
    positive = positive[:, torch.randperm(positive.shape[1], generator=generator)]
    negative = negative[:, torch.randperm(negative.shape[1], generator=generator)]
    count = positive.shape[1]
    sizes = [count - 40, 20, 20]
    parts = zip(positive.split(sizes, 1), negative[:, :count].split(sizes, 1), strict=True)
    train, validation, test = (Links(*part) for part in parts)
    words = (torch.rand(NODES, WORDS, generator=generator) < 0.3).float()
    words[torch.arange(NODES), torch.arange(NODES) // GROUP // 2] = 1
    row, column = words.nonzero(as_tuple=True)
    features = CsrMatrix.from_coordinates(row, column, words[row, column], (NODES, WORDS))
    messages = torch.cat([train.positive, train.positive.flip(0)], dim=1)
    return LinkPrediction("planted-groups", "planted", "clean", features, messages, train, validation, test, count, 6)


def new_model(task: LinkPrediction, seed: int = 0) -> WalkPoolingNet:
    settings = WalkPoolingSettings(
        task.feature_count, hidden_channels=8, heads=2, walk_length=3, classifier_expansion=2, dropout=0.2
    )
    with deterministic(seed):
        return WalkPoolingNet(settings)


def told_model(task: LinkPrediction) -> WalkPoolingNet:
    """A model in double precision whose weights are so large that everything it sees shows in its logits."""
    model = new_model(task).double().eval()
    with deterministic(1):
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.5)
    return model


@pytest.fixture(scope="module")
def task() -> LinkPrediction:
    return build_task()


def in_double(task: LinkPrediction) -> LinkPrediction:
    return replace(task, features=task.features.with_value(task.features.value.double()))


def logits_of(model: WalkPoolingNet, task: LinkPrediction, part: str) -> Tensor:
    return outputs_of(model, task, model.prepare(task), part)


def test_it_learns_and_repeats_exactly(task: LinkPrediction) -> None:
    models = [new_model(task), new_model(task)]
    fitted = [fit(model, task, TRAINING, seed=0) for model in models]
    assert evaluate(models[0], task).score > 0.8
    assert evaluate(new_model(task), task).score < 0.7
    assert fitted[0].validation == fitted[1].validation
    assert all(torch.equal(one, other) for one, other in zip(*(m.state_dict().values() for m in models), strict=True))


def test_the_link_of_a_training_pair_does_not_reach_its_logit(task: LinkPrediction) -> None:
    model, task = told_model(task), in_double(task)
    logits = logits_of(model, task, "train")
    for number in (0, 3, 11):
        pair = task.train.positive[:, number]
        own = (task.edge_index == pair[:, None]).all(0) | (task.edge_index == pair.flip(0)[:, None]).all(0)
        assert own.sum() == 2
        without = logits_of(model, replace(task, edge_index=task.edge_index[:, ~own]), "train")
        assert torch.equal(without[number], logits[number])
        assert not torch.equal(without, logits)


def test_adding_the_link_of_a_negative_pair_does_not_reach_its_logit(task: LinkPrediction) -> None:
    model, task = told_model(task), in_double(task)
    pair = task.validation.negative[:, :1]
    linked = replace(task, edge_index=torch.cat([task.edge_index, pair, pair.flip(0)], dim=1))
    number = task.validation.positive.shape[1]
    before, after = (logits_of(model, each, "validation") for each in (task, linked))
    assert torch.equal(before[number], after[number])


def test_pairs_are_symmetric(task: LinkPrediction) -> None:
    model, task = told_model(task), in_double(task)
    turned = replace(task, test=Links(task.test.positive.flip(0), task.test.negative.flip(0)))
    torch.testing.assert_close(logits_of(model, turned, "test"), logits_of(model, task, "test"))


def test_edges_twice_and_in_another_order_change_nothing(task: LinkPrediction) -> None:
    model, task = told_model(task), in_double(task)
    other = replace(task, edge_index=torch.cat([task.edge_index, task.edge_index], dim=1).flip(1))
    assert torch.equal(logits_of(model, other, "test"), logits_of(model, task, "test"))


def test_batches_of_any_size_give_the_same_logits(task: LinkPrediction, monkeypatch: pytest.MonkeyPatch) -> None:
    model, task = told_model(task), in_double(task)
    at_once = logits_of(model, task, "test")
    for size in (1, 7):
        monkeypatch.setattr(walkpooling, "EVALUATION_PAIRS", size)
        torch.testing.assert_close(logits_of(model, task, "test"), at_once)


def test_words_and_neighbours_both_matter(task: LinkPrediction) -> None:
    model, task = told_model(task), in_double(task)
    logits = logits_of(model, task, "test")
    wordless = replace(task, features=task.features.with_value(0 * task.features.value))
    edgeless = replace(task, edge_index=task.edge_index[:, :0])
    for other in (wordless, edgeless):
        changed = logits_of(model, other, "test")
        assert changed.isfinite().all()
        assert not torch.allclose(changed, logits)


def test_gradient_of_the_whole_model(task: LinkPrediction) -> None:
    model, task = told_model(task), in_double(task)
    subgraphs = model.prepare(task).subgraphs["test"].take(torch.tensor([0, 25]))
    embedding = model.embed(task.features).detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda value: model.classify(value, subgraphs), (embedding,), fast_mode=True)


def test_every_training_pair_is_learned_once_an_epoch(task: LinkPrediction, monkeypatch: pytest.MonkeyPatch) -> None:
    model, seen = new_model(task), []
    inputs = model.prepare(task)
    take = type(inputs.subgraphs["train"]).take

    def spy(subgraphs: object, index: Tensor) -> object:
        seen.append(index)
        return take(subgraphs, index)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(type(inputs.subgraphs["train"]), "take", spy)
    losses = list(model.losses(task, inputs, 16))
    pairs = len(task.train.labels)
    assert len(losses) == len(seen) == -(-pairs // 16)
    assert max(len(index) for index in seen) <= 16
    assert torch.equal(torch.cat(seen).sort().values, torch.arange(pairs))
    assert not torch.equal(torch.cat(seen), torch.arange(pairs))


@pytest.mark.parametrize(
    ("pairs", "batch_size", "count"), [(10, None, 1), (10, 5, 2), (11, 5, 3), (3, 2, 1), (4, 1, 2), (1, 8, 1)]
)
def test_no_batch_has_a_single_pair(pairs: int, batch_size: int | None, count: int) -> None:
    assert batch_count(pairs, batch_size) == count


def test_a_single_training_pair_is_refused_with_a_remedy(task: LinkPrediction) -> None:
    lone = replace(task, train=Links(task.train.positive[:, :1], task.train.negative[:, :0]))
    with pytest.raises(DatasetError) as caught:
        fit(new_model(lone), lone, TRAINING, seed=0)
    assert str(caught.value) == (
        f"{task.name} has fewer than 2 training pairs (1), too few for batch normalisation; add links or pairs without "
        "one"
    )


def test_it_has_the_parameters_that_its_docstring_counts() -> None:
    model = WalkPoolingNet(WalkPoolingSettings(1433))
    assert sum(parameter.numel() for parameter in model.parameters()) == 214_961

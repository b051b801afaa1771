"""Every registered model, quantized and compiled too, is right on odd graphs and whatever the order of their edges."""

import copy
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.yardsticks import EAGER
from gnn.compression import A2q, DegreeQuant, Masks, Qat, TrainingContext, compress, fine_tune
from gnn.determinism import deterministic
from gnn.errors import SettingError
from gnn.layers import CsrMatrix
from gnn.models import MODELS, GraphModel
from gnn.quantization.description import Quantization
from gnn.runtime import compile_inference
from gnn.tasks import Graph, GraphBatch, GraphClassification, LinkPrediction, Links, NodeClassification, Split, Task
from gnn.training import fit
from gnn.training_settings import TrainingSettings
from tests.gnn.citation_checks import messages_of, with_messages
from tests.gnn.five_models import random_model
from tests.gnn.random_graphs import random_collection
from tests.gnn.toy_quantization import logits, task_for, tasks_of_every_kind, toy_context

PROPERTY = settings(deadline=None, max_examples=3, derandomize=True)
# Graphs without nodes and of one node, without edges, with isolated nodes, with self-loops and edges several times.
ODD = {"sizes": st.lists(st.integers(0, 4), min_size=1, max_size=3), "edges": st.sampled_from([0.0, 1.0, 3.0])}
SEEDS = st.integers(0, 99)
TRAINING = TrainingSettings(0.01, 0.0, epochs=1, patience=1, batch_size=2)
METHODS = {"qat": Qat(8), "degree-quant": DegreeQuant(8), "a2q": A2q()}
KINDS = {"plain": None, "range": 8, "channel": 8, "node-group": 4}
NAMES = sorted(MODELS)
GRAPH_CLASSIFIERS = [name for name in NAMES if "graph-classification" in MODELS[name].task_kinds]


def odd_task(name: str, sizes: list[int], edges: float, seed: int) -> Task:
    """A task for a model on graphs of these sizes or, where there is one graph, on all of their nodes."""
    like = task_for(name, tasks_of_every_kind())
    if isinstance(like, GraphClassification):
        parts = Split(*[torch.arange(len(sizes))] * 3)
        return GraphClassification("odd", "planted", "clean", random_collection(sizes, edges, seed), parts, classes=2)
    generator, nodes = torch.Generator().manual_seed(seed), sum(sizes)
    edge_index = torch.randint(max(nodes, 1), (2, int(edges * nodes)), generator=generator)
    row, column = (torch.rand(nodes, like.feature_count, generator=generator) < 0.2).nonzero().unbind(1)
    features = CsrMatrix.from_coordinates(row, column, torch.ones(len(row)), (nodes, like.feature_count))
    if isinstance(like, NodeClassification):
        graph, parts = Graph(features, edge_index, torch.arange(nodes) % like.classes), [torch.arange(nodes)] * 3
        return NodeClassification("odd", "planted", "clean", graph, Split(*parts), classes=like.classes)
    pairs, none = torch.combinations(torch.arange(nodes)).t(), torch.zeros(2, 0, dtype=torch.int64)
    known = edge_index[:, edge_index[0] < edge_index[1]].unique(dim=1)
    known = known[:, torch.randperm(known.shape[1], generator=generator)]
    links = Links(known, known)
    return LinkPrediction("odd", "planted", "clean", features, edge_index, links, links, Links(none, pairs), 1, 2)


@cache
def forms(name: str, kind: str) -> list[GraphModel]:
    """A model as it is, or with quantizers of a kind and, where they exist, on integers."""
    task = task_for(name, tasks_of_every_kind())
    model = random_model(name, task)
    if kind == "plain":
        return [model]
    bit_width, groups = KINDS[kind], 1 if kind != "node-group" else 20
    quantization = Quantization(kind, bit_width, MODELS[name].fp32_layers, groups=groups)  # pyright: ignore
    with deterministic(0), torch.no_grad():
        simulated = quantization.apply(copy.deepcopy(model)).train()
        next(iter(simulated.losses(task, simulated.prepare(task), 32)))
    try:
        return [simulated.eval(), quantization.to_integers(simulated)]
    except SettingError:
        return [simulated.eval()]


def in_another_order(model: GraphModel, task: Task, seed: int) -> Any:  # noqa: ANN401
    """What a model makes of the test part when its edges come in another order."""
    generator = torch.Generator().manual_seed(seed)
    if isinstance(task, GraphClassification):
        batch = task.batch("test")
        order = torch.randperm(batch.edge_index.shape[1], generator=generator)
        return {"test": GraphBatch(batch.features, batch.edge_index[:, order], batch.node_pointer, batch.labels)}
    order = torch.randperm(messages_of(task).shape[1], generator=generator)
    return model.prepare(with_messages(task, messages_of(task)[:, order]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
@PROPERTY
@given(**ODD, seed=SEEDS)
def test_the_order_of_edges_changes_no_bit(name: str, kind: str, sizes: list[int], edges: float, seed: int) -> None:
    task = odd_task(name, sizes, edges, seed)
    for model in forms(name, kind):
        found = logits(model, task)
        assert found.isfinite().all()
        assert torch.equal(logits(model, task, in_another_order(model, task, seed)), found)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", GRAPH_CLASSIFIERS)
@PROPERTY
@given(**ODD, seed=SEEDS)
def test_a_graph_alone_gives_what_it_gives_among_others(
    name: str, kind: str, sizes: list[int], edges: float, seed: int
) -> None:
    collection = random_collection(sizes, edges, seed)
    for model in forms(name, kind):
        together = model(collection.select(torch.arange(len(sizes))))
        alone = torch.cat([model(collection.select(graph[None])) for graph in torch.arange(len(sizes))])
        torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["plain", "range"])
@pytest.mark.parametrize("name", NAMES)
@PROPERTY
@given(**ODD, seed=SEEDS)
def test_compiled_forms_are_the_model(name: str, kind: str, sizes: list[int], edges: float, seed: int) -> None:
    task = odd_task(name, sizes, edges, seed)
    for model in forms(name, kind):
        torch.testing.assert_close(compile_inference(model, task)(), logits(model, task), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", sorted(EAGER))
@PROPERTY
@given(**ODD, seed=SEEDS)
def test_eager_forms_are_the_model(name: str, sizes: list[int], edges: float, seed: int) -> None:
    task = odd_task(name, sizes, edges, seed)
    (model,) = forms(name, "plain")
    torch.testing.assert_close(EAGER[name](model, task)(), logits(model, task), rtol=1e-4, atol=1e-4)


def trainings(name: str, folder: Path) -> Iterator[TrainingContext]:
    """On odd graphs, and on three single nodes: the last batch has one."""
    cases = {"odd": ([0, 3, 1, 0, 4, 1, 6], 3.0), "single": ([1, 1, 1], 0.0)}
    for case, (sizes, edges) in cases.items():
        # Links to train on are edges.
        if edges or "link-prediction" not in MODELS[name].task_kinds:
            yield toy_context(name, odd_task(name, sizes, edges, seed=1), folder / case, TRAINING)


@pytest.mark.parametrize("name", NAMES)
def test_odd_graphs_are_trained_on(name: str, tmp_path: Path) -> None:
    for context in trainings(name, tmp_path):
        model = context.initial()
        fit(model, context.task, TRAINING, seed=0)
        fine_tune(model, context.task, Masks(), TRAINING, seed=0)
        assert all(parameter.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("name", "method"),
    [
        *product(("gin", "hgpsl"), METHODS),
        *((name, "degree-quant") for name in GRAPH_CLASSIFIERS if name not in ("gin", "hgpsl")),
    ],
)
def test_odd_graphs_are_trained_on_with_quantizers(name: str, method: str, tmp_path: Path) -> None:
    for context in trainings(name, tmp_path):
        found = compress(context.initial(), METHODS[method], context).model
        assert logits(found, context.task).isfinite().all()

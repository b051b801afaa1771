"""What the net of GCNConv layers does with odd graphs and with dropout; see also test_citation_models."""

import pytest
import torch
from torch.nn import functional

from gnn.models.gcn import Gcn
from gnn.tasks import NodeClassification
from tests.gnn.citation_checks import NO_EDGES, new_model, of_all, with_messages


def test_equal_edges_count_twice(small_task: NodeClassification) -> None:
    model = new_model("gcn", small_task)
    edge_index = small_task.graph.edge_index
    doubled = of_all(model, with_messages(small_task, torch.cat([edge_index, edge_index], dim=1)))
    assert doubled.isfinite().all()
    assert not torch.allclose(doubled, of_all(model, small_task), atol=1e-4)


def test_without_edges_only_self_loops_are_left(small_task: NodeClassification) -> None:
    model = new_model("gcn", small_task)
    assert isinstance(model, Gcn)
    inputs = model.prepare(with_messages(small_task, NO_EDGES))  # pyright: ignore[reportArgumentType]
    assert torch.equal(inputs.edge_index, torch.arange(210).expand(2, -1))
    assert torch.equal(inputs.edge_weight, torch.ones(210))


def test_dropout_comes_before_each_layer_in_training_only(
    small_task: NodeClassification, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped: list[tuple[int, bool]] = []
    real = functional.dropout

    def record(values: torch.Tensor, share: float, training: bool) -> torch.Tensor:
        dropped.append((values.numel(), training))
        return real(values, share, training)

    monkeypatch.setattr(functional, "dropout", record)
    model = new_model("gcn", small_task)
    inputs = model.prepare(small_task)
    model.train()(inputs)
    model.eval()(inputs)
    words = len(small_task.graph.features.value)
    assert dropped == [(words, True), (210 * 16, True), (words, False), (210 * 16, False)]

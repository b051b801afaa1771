"""SSP is trained with preconditioned gradients and has self-loops; see also test_citation_models."""

import torch

from gnn.models import MODELS
from gnn.models.ssp import PRECONDITIONING, SspNet
from gnn.tasks import NodeClassification
from tests.gnn.citation_checks import NO_EDGES, new_model, with_messages


def test_its_recipe_preconditions_training_and_fine_tuning() -> None:
    recipe = MODELS["ssp"].recipe
    assert recipe.training.preconditioner == recipe.fine_tuning.preconditioner == PRECONDITIONING


def test_without_edges_only_self_loops_are_left(small_task: NodeClassification) -> None:
    model = new_model("ssp", small_task)
    assert isinstance(model, SspNet)
    inputs = model.prepare(with_messages(small_task, NO_EDGES))  # pyright: ignore[reportArgumentType]
    assert torch.equal(inputs.adjacency @ torch.eye(210), torch.eye(210))

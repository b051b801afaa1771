"""Faults to plant in a run of the suite: a pytest plugin that breaks what GNN_FAULT names."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gnn.experiment
import gnn.storage.state_streams
from gnn.models import GraphModel
from gnn.runtime.spline import SplineInference


def reinitialise_weight(patch: pytest.MonkeyPatch) -> None:
    """Draw the first layer's weights anew after fine-tuning, as a bad merge of two checkpoints would."""
    fine_tune = gnn.experiment.fine_tune

    def broken(model: GraphModel, *arguments: Any) -> Any:  # noqa: ANN401
        fitted = fine_tune(model, *arguments)
        torch.nn.init.uniform_(model.get_parameter("conv1.weight"), -0.02, 0.02)
        return fitted

    patch.setattr(gnn.experiment, "fine_tune", broken)


def add_dense_tensor(patch: pytest.MonkeyPatch) -> None:
    """Leave every tensor dense in the file, zeros and all, as a writer that forgot its mask would."""
    patch.setattr(gnn.storage.state_streams, "kept_elements", lambda elements: np.ones(len(elements), dtype=bool))


def damage_baseline(patch: pytest.MonkeyPatch) -> None:
    """Make every snapshot read as half a file."""
    read_text = Path.read_text

    def broken(path: Path, *arguments: Any, **keywords: Any) -> str:  # noqa: ANN401
        text = read_text(path, *arguments, **keywords)
        return text[: len(text) // 2] if path.parent.name == "snapshots" else text

    patch.setattr(Path, "read_text", broken)


def forget_baseline(patch: pytest.MonkeyPatch) -> None:
    """Find no snapshot at all, as for a case that is new."""
    patch.setattr("fixtures.baseline.BaselineFile.read", lambda _: None)


def slow_runtime(patch: pytest.MonkeyPatch) -> None:
    """Let every inference take about 5% longer; what comes of it is a measurement, so it is tried by hand."""
    infer = SplineInference.__call__

    def broken(inference: SplineInference) -> torch.Tensor:
        for _ in range(3):
            inference.features.column.sum()
        return infer(inference)

    patch.setattr(SplineInference, "__call__", broken)


FAULTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    plant.__name__: plant
    for plant in (reinitialise_weight, add_dense_tensor, damage_baseline, forget_baseline, slow_runtime)
}


def pytest_configure(config: pytest.Config) -> None:
    """Plant the fault before anything runs."""
    patch = pytest.MonkeyPatch()
    FAULTS[os.environ["GNN_FAULT"]](patch)
    config.add_cleanup(patch.undo)

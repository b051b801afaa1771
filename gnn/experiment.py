"""One case, one seed, once through: base model, compression, fine-tuning, file, evaluation."""

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from gnn import storage
from gnn.artifacts import Artifact, ArtifactStore
from gnn.case import Case
from gnn.compression import Masks, compress, fine_tune, sparsity_of
from gnn.determinism import deterministic
from gnn.errors import SettingError, StorageError
from gnn.models import MODELS, GraphModel, build_model_for, settings_mapping
from gnn.source_code import source_sha256
from gnn.tasks import DataSource, Task, load_task
from gnn.tensor_bytes import tensor_bytes
from gnn.training import evaluate, fit

# Whatever these hold decides what a base model looks like, so its artifact is built again when they change.
TRAINING_SOURCES = (
    "layers",
    "models",
    "tasks",
    "determinism.py",
    "preconditioning.py",
    "training.py",
    "training_settings.py",
)


@dataclass(frozen=True, eq=False)
class Laboratory:
    """What every run shares: where artifacts and data are, under which protocol, on which device."""

    store: ArtifactStore
    sources: Mapping[str, DataSource]
    protocol: str = "clean"
    device: str = "cpu"

    def task(self, name: str, seed: int = 0) -> Task:
        """Load the task registered as `name` from where its data was found, with the split of a seed."""
        return _load_task(self, name, seed)


@dataclass(frozen=True)
class Sizes:
    """Bytes of the dense file, of Algorithm 1, of the shipped file, and the order-0 entropy bound."""

    dense: int
    algorithm1: int
    encoded: int
    entropy_bound: float


@dataclass(frozen=True)
class Run:
    """What one seed of a case gave; `model` is the one that was read back from its file.

    `accuracy` is the task's score, ROC-AUC for links. `layer_sparsity` is counted in that model, `masked_share` is what
    the method removed from each tensor, and `state_entries` counts parameters and buffers. `best_epoch`, `epochs`
    and `truncated` are those of the base model's training.
    """

    seed: int
    task_sha256: str
    accuracy: float
    other_scores: dict[str, float]
    dense_accuracy: float
    sparsity: float
    layer_sparsity: dict[str, float]
    masked_share: dict[str, float]
    parameters: int
    nonzero_parameters: int
    state_entries: int
    compressed_tensors: int
    size_bytes: Sizes
    training_s: float
    best_epoch: int
    epochs: int
    truncated: bool
    model: GraphModel


@dataclass(frozen=True)
class BaseModel:
    """A dense model, the CPU seconds its training took, the epoch it is of (counted from 1) and the epochs run.

    `truncated` says that more epochs than were allowed might have found a better one.
    """

    model: GraphModel
    training_s: float
    best_epoch: int
    epochs: int
    truncated: bool


def run(case: Case, seed: int, laboratory: Laboratory) -> Run:
    """Take one case through the whole pipe with one seed.

    The accuracy is that of the model read back from its file, so nothing that is reported was not shipped.
    Raises `SettingError` when a compressing method compressed nothing.
    """
    case = case.on(laboratory.sources[case.registered_task])
    task = laboratory.task(case.registered_task, seed)
    base = base_model(case, seed, laboratory)
    model, training_s = base.model, base.training_s
    dense = evaluate(model, task)
    masks = compress(model, case.compression)
    compressed_tensors = count_compressed(masks)
    if not case.dense and compressed_tensors == 0:
        raise SettingError(f"{case.id} compressed no tensor at all; raise its sparsity or use the dense case")
    if case.fine_tune:
        settings = MODELS[case.model].recipe_for(task).fine_tuning
        training_s += fine_tune(model, task, masks, settings, seed).cpu_s
    loaded, encoded = ship(model, case)
    sparsity, layer_sparsity = sparsity_of(loaded)
    shipped = evaluate(loaded, task)
    return Run(
        seed=seed,
        task_sha256=task.sha256,
        accuracy=shipped.score,
        other_scores=shipped.others,
        dense_accuracy=dense.score,
        sparsity=sparsity,
        layer_sparsity=layer_sparsity,
        masked_share={name: 1 - int(mask.sum()) / mask.numel() for name, mask in masks.kept.items()},
        parameters=sum(parameter.numel() for parameter in loaded.parameters()),
        nonzero_parameters=sum(int(parameter.count_nonzero()) for parameter in loaded.parameters()),
        state_entries=sum(tensor.numel() for tensor in loaded.state_dict().values()),
        compressed_tensors=compressed_tensors,
        size_bytes=sizes_of(loaded, encoded),
        training_s=training_s,
        best_epoch=base.best_epoch,
        epochs=base.epochs,
        truncated=base.truncated,
        model=loaded,
    )


def sizes_of(model: GraphModel, encoded: int) -> Sizes:
    """All sizes of a model whose file has `encoded` bytes."""
    return Sizes(
        dense=storage.dense_size_bytes(model),
        algorithm1=storage.algorithm1_size_bytes(model),
        encoded=encoded,
        entropy_bound=storage.entropy_bound_bytes(model),
    )


def count_compressed(masks: Masks) -> int:
    """How many tensors really lost a weight."""
    return sum(not bool(mask.all()) for mask in masks.kept.values())


def ship(model: GraphModel, case: Case) -> tuple[GraphModel, int]:
    """Write a model to a file, read it into a fresh one, compare bit for bit; the fresh model and the bytes.

    Raises `StorageError` when a single bit differs.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        size_bytes = storage.save(model, path, model_name=case.model, task=case.task)
        loaded = storage.load(path).model.to(next(model.parameters()).device)
        if path.stat().st_size != size_bytes:
            raise StorageError(f"{case.id} wrote {path.stat().st_size} bytes but counted {size_bytes}")
    restored = loaded.state_dict()
    for name, tensor in model.state_dict().items():
        if not np.array_equal(tensor_bytes(tensor), tensor_bytes(restored[name])):
            raise StorageError(f"tensor {name} of {case.id} came back from its file with other bits")
    return loaded, size_bytes


def base_model(case: Case, seed: int, laboratory: Laboratory) -> BaseModel:
    """The dense model of a task, a model and a seed; trained once, then read from the artifact store."""
    task = laboratory.task(case.registered_task, seed)
    with deterministic(seed):
        model = build_model_for(case.model, task).to(laboratory.device)
    settings = MODELS[case.model].recipe_for(task).training

    def train() -> Artifact:
        fitted = fit(model, task, settings, seed)
        names = ("cpu_s", "best_epoch", "epochs", "truncated")
        return Artifact(model.state_dict(), {name: repr(getattr(fitted, name)) for name in names})

    key = {
        "kind": "base model",
        "task": task.sha256,
        "protocol": task.protocol,
        "model": [case.model, settings_mapping(model)],
        "training": asdict(settings),
        "seed": seed,
        "code": training_code_sha256(),
        "device": torch.device(laboratory.device).type,
    }
    artifact = laboratory.store.load_or_build(key, train)
    model.load_state_dict(artifact.tensors)
    model.eval()
    facts = artifact.facts
    return BaseModel(
        model, float(facts["cpu_s"]), int(facts["best_epoch"]), int(facts["epochs"]), facts["truncated"] == "True"
    )


def training_code_sha256() -> str:
    """Fingerprint of the source files that decide what a trained base model looks like."""
    return source_sha256(*TRAINING_SOURCES)


@lru_cache
def _load_task(laboratory: Laboratory, name: str, seed: int) -> Task:
    task = load_task(name, laboratory.sources[name], laboratory.store, laboratory.protocol, seed)
    return task.to(laboratory.device)

"""Somebody's own model beside the registered ones."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gnn.errors import SettingError
from gnn.models.plain import CALL, Call
from gnn.models.registry import ModelEntry
from gnn.source_code import installed_sha256
from gnn.tasks import Task, fingerprint
from gnn.training_settings import Recipe, TrainingSettings

RECIPE = Recipe(
    training=TrainingSettings(
        learning_rate=0.01, weight_decay=5e-4, epochs=200, patience=50, batch_size=64, most_epochs=800
    ),
    fine_tuning=TrainingSettings(learning_rate=0.005, weight_decay=5e-4, epochs=50, patience=25, batch_size=64),
)
"""How a model is trained whose owner says nothing."""


@dataclass(frozen=True, eq=False)
class Model(ModelEntry):
    """Somebody's own model: any module, under a name.

    Args:
        name: What the model is called in case ids; characters a-z, 0-9 and "-".
        build: Makes the module, with fresh weights. It is called in a fixed random state.
        fit: Trains the module in place, as `fit(module, task, seed)`; without it Adam does, with early stopping.
        call: Asks the module, as `call(module, data)` with PyG's Data or Batch; without it the forward pass gets what
            it names of the data.
        recipe: How the module is trained without `fit`, and how it is fine-tuned and trained by methods that train.
        weights: A state dict, or the path of one (safetensors, or what torch.save wrote); nothing is trained then but
            what a method or fine-tuning trains.
        fp32_layers: Names of layers that quantization-aware training leaves in FP32.

    Raises:
        SettingError: The name has other characters, or there are both `fit` and `weights`.
    """

    name: str
    build: Callable[[], nn.Module]
    fit: Callable[[nn.Module, Any, int], object] | None = None
    call: Call | None = None
    recipe: Recipe = RECIPE
    weights: Mapping[str, Tensor] | str | Path | None = None
    fp32_layers: tuple[str, ...] = ()
    fp32_sites: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if not self.name or set(self.name) - set("abcdefghijklmnopqrstuvwxyz0123456789-"):
            raise SettingError(f"model name {self.name!r} may only use the characters a-z, 0-9 and '-'")
        if self.fit is not None and self.weights is not None:
            raise SettingError(f"model {self.name!r} has fit and weights; give the one or the other")

    def recipe_for(self, task: Task) -> Recipe:  # noqa: ARG002
        """How the model is trained, on any task."""
        return self.recipe

    def empty(self) -> nn.Module:
        """A module that knows how it is called, with whatever weights `build` gives; raises `SettingError`."""
        module = self.build()
        if not isinstance(module, nn.Module):
            raise SettingError(f"build of model {self.name!r} gives a {type(module).__name__}, which is no nn.Module")
        if self.call is not None:
            vars(module)[CALL] = self.call
        return module

    def build_for(self, task: Task) -> nn.Module:
        """The module with the weights that everything begins with: fresh ones, or those that were given.

        Raises `SettingError` where these do not fit.
        """
        module = self.empty()
        if (state := self._state) is not None:
            try:
                module.load_state_dict(state)
            except RuntimeError as error:
                said = " ".join(str(error).split())
                raise SettingError(f"the weights of model {self.name!r} do not fit on {task.name}: {said}") from error
        return module

    def description(self, module: nn.Module) -> object:
        """What the source of `build` and `fit` leaves open: the module as it was built, its weights, and packages."""
        return {
            # It tells settings that come from elsewhere, such as a dropout; addresses are others in each process.
            "module": re.sub(r" at 0x[0-9a-f]+", "", repr(module)),
            "state": fingerprint(module.state_dict()),
            "packages": installed_sha256(type(module), *self.sources(module)),
            "fit": getattr(self.fit, "__qualname__", None),
        }

    @property
    def pretrained(self) -> bool:
        """Whether the weights were given."""
        return self.weights is not None

    def sources(self, module: nn.Module) -> tuple[object, ...]:  # noqa: ARG002
        """The functions that were given."""
        return tuple(part for part in (self.build, self.fit, self.call) if part is not None)

    @cached_property
    def _state(self) -> Mapping[str, Tensor] | None:
        if self.weights is None or isinstance(self.weights, Mapping):
            return self.weights
        try:
            if Path(self.weights).suffix == ".safetensors":
                from safetensors.torch import load_file  # noqa: PLC0415

                return load_file(self.weights)
            return torch.load(self.weights, map_location="cpu", weights_only=True)
        except Exception as error:
            said = " ".join(str(error).split())[:200]
            raise SettingError(
                f"the weights of model {self.name!r} cannot be read from {self.weights}: {said}"
            ) from error

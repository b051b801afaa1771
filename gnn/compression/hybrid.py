"""Pruning and quantization together, one after the other in either order."""

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from torch import nn
from torch.nn.utils import parametrize, prune

from gnn.compression.context import Compressed, Context, TrainingContext
from gnn.compression.global_magnitude import GlobalMagnitude
from gnn.compression.layer_adaptive import LayerAdaptive
from gnn.compression.masks import Masks, fine_tune
from gnn.compression.quantized_training import by_range, on_integers
from gnn.compression.range_settings import RangeSettings
from gnn.compression.registry import METHODS, register_method
from gnn.compression.retraining import Retrained, fine_tune_once, remember_retrained
from gnn.compression.structured import Structured
from gnn.errors import SettingError
from gnn.quantization.description import Quantization, empty_integer_model

Order = Literal["prune-first", "quantize-first"]


@dataclass(frozen=True)
class Hybrid:
    """What is pruned, how many bits are left, and what comes first; raises `SettingError` for what cannot be combined.

    Whole channels can only be removed first: a quantized model has a range for each of its layers.
    """

    method: ClassVar[str] = "hybrid"
    can_be_fine_tuned: ClassVar[bool] = False
    pruning: GlobalMagnitude | LayerAdaptive | Structured
    bit_width: int = 8
    order: Order = "prune-first"

    def __post_init__(self) -> None:
        RangeSettings(self.bit_width)
        if self.order not in ("prune-first", "quantize-first"):
            raise SettingError(f"order {self.order!r} is unknown; valid are: prune-first, quantize-first")
        if self.order == "quantize-first" and isinstance(self.pruning, Structured):
            raise SettingError("whole channels cannot be removed from a quantized model; prune first")
        if self.order == "quantize-first" and not isinstance(self.pruning, GlobalMagnitude):
            raise SettingError(
                f"{self.pruning.method} is not for quantized weights; give GlobalMagnitude, or prune first"
            )

    @property
    def compresses(self) -> bool:
        """Every weight becomes a code."""
        return True

    @property
    def id_method(self) -> str:
        """What stands in the place of the method in a case id: whatever comes first."""
        return self.pruning.method if self.order == "prune-first" else f"int{self.bit_width}"

    def id_parts(self) -> tuple[str, ...]:
        """The rest of a case id, such as ("s0.8", "int8") or ("global", "s0.8")."""
        if self.order == "prune-first":
            return (*self.pruning.id_parts(), f"int{self.bit_width}")
        return (self.pruning.method, *self.pruning.id_parts())

    @property
    def quantizer(self) -> RangeSettings:
        """Straight-through gradients and percentiles, which no single outlier moves."""
        return RangeSettings(self.bit_width, "straight-through", "percentile")


def _pruned(model: nn.Module, settings: Hybrid, context: Context) -> Compressed:
    if settings.order == "quantize-first":
        return Compressed(model, Masks())
    return METHODS[settings.pruning.method].compress(model, settings.pruning, context)


def _check(model: nn.Module, settings: Hybrid, context: Context) -> None:
    empty_integer_model(_pruned(model, settings, context).model, by_range(settings.bit_width, context))


@register_method(Hybrid, _check)
def prune_and_quantize(model: nn.Module, settings: Hybrid, context: Context) -> Compressed:
    """Prune and quantize a trained model, and fine-tune it after each with the recipe's settings.

    Fine-tuning after quantization is quantization-aware, and removed weights stay removed: zero is a code of every
    grid. Quantized first, the smallest of the quantized weights are removed, over the whole model. Source: the paper,
    section 4, where this is future work.
    """
    training, quantization = context.training, by_range(settings.bit_width, context)
    pruned = _pruned(model, settings, context)
    start, masks = pruned.model, pruned.masks
    structure = _structure(start, quantization, settings)

    def build() -> Retrained:
        return _train(copy.deepcopy(start), masks, training, settings, quantization)

    what = {"method": Hybrid.method, **asdict(settings), "pruning method": settings.pruning.method}
    what["fine-tuning"] = asdict(training.recipe.fine_tuning)
    found = remember_retrained(training, what, build, structure)
    compressed = replace(found.compressed, fitted=None, untouched=pruned.untouched)
    return on_integers(compressed, quantization)


def _structure(start: nn.Module, quantization: Quantization, settings: Hybrid) -> Callable[[], nn.Module]:
    fresh = copy.deepcopy(start)
    return lambda: quantization.apply(copy.deepcopy(fresh), settings.quantizer.quantizer)


def _train(
    model: nn.Module, masks: Masks, training: TrainingContext, settings: Hybrid, quantization: Quantization
) -> Retrained:
    """Both rounds of fine-tuning; its time is that of both."""
    recipe, before_s = training.recipe.fine_tuning, 0.0
    if settings.order == "prune-first":
        before_s = fine_tune_once(training, model, masks, recipe, settings.pruning).cpu_s
    quantization.apply(model, settings.quantizer.quantizer)
    masks = _of_originals(model, masks)
    if settings.order == "quantize-first":
        before_s = fine_tune(model, training.task, masks, recipe, training.seed).cpu_s
        masks = mask_quantized(model, settings.pruning.sparsity)
        masks.apply(model)
    fitted = fine_tune(model, training.task, masks, recipe, training.seed)
    return Retrained(model, Masks(), fitted, before_s + fitted.cpu_s)


def _of_originals(model: nn.Module, masks: Masks) -> Masks:
    """The masks under the names that weights have below their quantizers."""
    names = dict(model.named_parameters())
    return Masks({name if name in names else _original(name): mask for name, mask in masks.kept.items()})


def _original(name: str) -> str:
    layer, _, weight = name.rpartition(".")
    return f"{layer}.parametrizations.{weight}.original" if layer else f"parametrizations.{weight}.original"


@torch.no_grad()
def mask_quantized(model: nn.Module, sparsity: float) -> Masks:
    """Masks that remove the share `sparsity` of the smallest quantized weights, with one threshold for all layers."""
    weights: dict[str, Any] = {}
    for name, layer in model.named_modules():
        if parametrize.is_parametrized(layer):
            for weight in layer.parametrizations:  # pyright: ignore[reportGeneralTypeIssues]
                weights[_original(f"{name}.{weight}" if name else weight)] = getattr(layer, weight)
        else:
            own = layer.named_parameters(name, recurse=False)
            weights |= {key: value for key, value in own if value.dim() >= 2 and ".parametrizations." not in key}
    flat = torch.cat([weight.flatten() for weight in weights.values()])
    kept = prune.L1Unstructured(amount=float(sparsity)).compute_mask(flat, torch.ones_like(flat)).bool()
    parts = kept.split([weight.numel() for weight in weights.values()])
    return Masks({name: part.view(weights[name].shape) for name, part in zip(weights, parts, strict=True)})

"""Training with fake quantization, and the integer model that comes of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from gnn.compression.context import Compressed, Context, TrainingContext
from gnn.compression.masks import Masks
from gnn.compression.retraining import Retrained, remember_retrained
from gnn.models import MODELS
from gnn.quantization.description import Quantization
from gnn.quantization.integer_model import integer_weights, untouched_layers
from gnn.training import ParameterGroups, fit, one_group


@dataclass(frozen=True, eq=False)
class QuantizedTraining:
    """How a model is trained: from `structure`, a model with its quantizers, with Adam's groups and a penalty."""

    structure: Callable[[], nn.Module]
    quantization: Quantization
    parameter_groups: ParameterGroups = one_group
    penalty: Callable[[nn.Module], Callable[[], Tensor] | None] = lambda _model: None


def train_quantized(training: TrainingContext, how: QuantizedTraining, what: Mapping[str, Any]) -> Compressed:
    """Train a quantized model from the initial weights with the recipe of the dense model, or read it, and convert it.

    `what` is as in `remember_retrained`. The time is that of this training alone: the dense model is not
    needed for it.
    """

    def build() -> Retrained:
        model = how.structure()
        recipe = training.recipe.training
        fitted = fit(
            model,
            training.task,
            recipe,
            training.seed,
            parameter_groups=how.parameter_groups,
            penalty=how.penalty(model),
        )
        return Retrained(model, Masks(), fitted, fitted.cpu_s)

    retrained = remember_retrained(training, what, build, how.structure)
    return on_integers(replace(retrained.compressed, needs_dense=False), how.quantization)


def on_integers(simulated: Compressed, quantization: Quantization) -> Compressed:
    """The integer model of a trained quantized model, which stays beside it as what it has to equal."""
    integer = quantization.to_integers(simulated.model)
    return replace(
        simulated,
        model=integer,
        masks=Masks(),
        simulated=simulated.model.eval(),
        quantized=tuple(integer_weights(integer)),
        untouched={**simulated.untouched, **untouched_layers(integer, quantization.fp32_layers)},
    )


def by_range(bit_width: int, context: Context) -> Quantization:
    """A range for every tensor, but in the layers that the registered model keeps in FP32."""
    return Quantization("range", bit_width, MODELS[context.training.model_name].fp32_layers)

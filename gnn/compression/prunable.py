"""Which tensors pruning may touch, how much of them, and what it left."""

from dataclasses import dataclass

from torch import nn

from gnn.errors import SettingError
from gnn.models import bare_model


@dataclass(frozen=True)
class SparsitySettings:
    """Share of weights to remove, in [0, 1); raises `SettingError` outside of it."""

    sparsity: float

    def __post_init__(self) -> None:
        if not isinstance(self.sparsity, int | float) or not 0 <= self.sparsity < 1:
            raise SettingError(
                f"sparsity {self.sparsity!r} is outside [0, 1); give the share of weights to remove, such as 0.5"
            )

    @property
    def compresses(self) -> bool:
        """Pruning removes at least one weight, even when it was asked for none."""
        return True

    def id_parts(self) -> tuple[str, ...]:
        """The setting as it stands in a case id, such as ("s0.8",)."""
        return (f"s{self.sparsity + 0.0:.15g}",)


def prunable_parameters(model: nn.Module) -> list[tuple[str, nn.Module, str]]:
    """Every weight that pruning may touch, as (name, module, parameter name).

    The one rule: parameters with two dimensions or more. Biases and normalisation have one and stay whole.
    Raises `SettingError` for weights that `bare_model` refuses.
    """
    return [
        (f"{module_name}.{name}" if module_name else name, module, name)
        for module_name, module in bare_model(model).named_modules()
        for name, parameter in module.named_parameters(recurse=False)
        if parameter.dim() >= 2
    ]


def pruning_targets(model: nn.Module) -> list[tuple[str, nn.Module, str]]:
    """The prunable parameters of a model; raises `SettingError` where it has none."""
    if not (targets := prunable_parameters(model)):
        raise SettingError(
            f"nothing of {type(model).__name__} can be pruned: it has no weights of two dimensions or more"
        )
    return targets


def sparsity_of(model: nn.Module) -> tuple[float, dict[str, float]]:
    """Share of exact zeros among the prunable weights: in total, and per tensor."""
    zeros, weights, layers = 0, 0, {}
    for name, module, parameter_name in prunable_parameters(model):
        parameter = getattr(module, parameter_name)
        layer_zeros = parameter.numel() - int(parameter.count_nonzero())
        layers[name] = layer_zeros / parameter.numel()
        zeros, weights = zeros + layer_zeros, weights + parameter.numel()
    return zeros / weights, layers

"""What is known of a type of layer, never of a model: four tables that anybody can add a type to.

| question | asked by | without a rule |
|---|---|---|
| `channels`: which axis of which tensor reads and writes channels | structured pruning | its operations are followed |
| `lower`: the same layer on this library's kernels | the runtime | it runs as it is |
| `quantized`: the same layer with quantizers at its places | all methods that quantize | it stays in FP32 |
| `output_axis`: where the outputs of its weights are | scales per channel, files | axis 0 |

A layer without a rule is never skipped silently: whoever asks lists it with what `Rules.reason` says.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from torch import nn

Rule = TypeVar("Rule", bound=Callable[..., Any])
# A subclass that defines one of these computes something else than the type that the rule is of.
COMPUTES = (
    "forward",
    "propagate",
    "message",
    "message_and_aggregate",
    "aggregate",
    "update",
    "edge_update",
    "get_attention",
)


class Rules(Generic[Rule]):
    """One rule for each type of layer; a type is registered by itself or by its full name.

    A name, such as "torch_geometric.nn.conv.gcn_conv.GCNConv", spares the import of a package that takes seconds; who
    has a layer of it has it imported. A rule holds for a subclass, too, unless that overrides one of `COMPUTES`. With
    `any_subclass` it holds even then: the rule speaks of the tensors alone, or calls whatever the subclass computes.
    """

    def __init__(self, question: str) -> None:
        self.question = question
        self._rules: dict[str, tuple[Rule, bool]] = {}

    def register(self, *layers: type[nn.Module] | str, any_subclass: bool = False) -> Callable[[Rule], Rule]:
        """Decorate the rule of some types of layers; a later rule takes the place of an earlier one."""

        def decorate(rule: Rule) -> Rule:
            names = (layer if isinstance(layer, str) else full_name(layer) for layer in layers)
            self._rules |= dict.fromkeys(names, (rule, any_subclass))
            return rule

        return decorate

    def of(self, layer: nn.Module) -> Rule | None:
        """The rule of a layer's type, None where there is none that holds."""
        for kind in type(layer).__mro__:
            rule, any_subclass = self._rules.get(full_name(kind), (None, False))
            if rule is not None and (any_subclass or not _changed_by(type(layer), kind)):
                return rule
        return None

    def reason(self, layer: nn.Module) -> str:
        """Why a layer has no rule, and how to give it one."""
        own = type(layer).__name__
        kind = next((kind for kind in type(layer).__mro__ if full_name(kind) in self._rules), None)
        how = f"add one with @gnn.layers.rules.{self.question}.register({own})"
        if kind is not None and (changed := _changed_by(type(layer), kind)):
            return f"{own} has another {changed} than {kind.__name__}, so its rule does not hold; {how}"
        return f"{own} has no rule of {self.question}; {how}"


def full_name(layer: type[Any]) -> str:
    """The name of a type with its module, such as "torch.nn.modules.linear.Linear"."""
    return f"{layer.__module__}.{layer.__qualname__}"


def _changed_by(layer: type[nn.Module], kind: type[nn.Module]) -> str | None:
    between = layer.__mro__[: layer.__mro__.index(kind)]
    return next((name for name in COMPUTES for closer in between if name in vars(closer)), None)


@dataclass(frozen=True)
class Axis:
    """The axis of a layer's tensor along which its channels lie, such as Axis("lin.weight", 1).

    A tensor that holds every channel several times, block after block, says so with `repeats`.
    """

    tensor: str
    axis: int = 0
    repeats: int = 1


@dataclass(frozen=True)
class Channels:
    """Which of a layer's tensors have an entry for each channel that it reads, that it writes, or that passes through.

    What a layer `keeps` comes out as it went in, as in a normalisation; a layer that reads or writes keeps nothing.
    A layer with several `heads` writes its channels side by side as many times. One that `normalises` divides by
    something of all channels, so that the others change without one. Tensors that a layer does not have, such as a bias
    that is None, may be named.
    """

    reads: tuple[Axis, ...] = ()
    writes: tuple[Axis, ...] = ()
    keeps: tuple[Axis, ...] = ()
    heads: int = 1
    normalises: bool = False


channels: Rules[Callable[[Any], Channels]] = Rules("channels")
# The module whose forward a layer has in a copy of its model, called as its own is. A rule raises `SettingError` that
# says why for a layer with an option that it does not know.
lower: Rules[Callable[[Any], nn.Module]] = Rules("lower")
# The type that a layer is turned into: a subclass with the same parameters and a method `add_quantizers(scheme)`. Its
# `node_layers` names those of its linear layers whose rows are nodes, where it has any.
quantized: Rules[Callable[[Any], type[nn.Module]]] = Rules("quantized")
# The axis of the outputs in all of a layer's weights, which may be counted from the end.
output_axis: Rules[Callable[[Any], int]] = Rules("output_axis")


def axis_of_outputs(layer: nn.Module) -> int:
    """The axis of the outputs in a layer's weights."""
    rule = output_axis.of(layer)
    return 0 if rule is None else rule(layer)


@channels.register("torch_geometric.nn.norm.layer_norm.LayerNorm", "torch_geometric.nn.norm.pair_norm.PairNorm")
def _normalisation(layer: nn.Module) -> Channels:  # noqa: ARG001
    """A mean over all channels belongs to none of them, but can do without any."""
    return Channels(keeps=(Axis("weight"), Axis("bias")), normalises=True)

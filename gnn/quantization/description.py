"""How a model was quantized, as a file holds it, and the empty integer model that it makes."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeVar, get_args

import torch
from torch import nn

from gnn.errors import SettingError
from gnn.quantization.bfloat16 import BITS, Bfloat16Scheme
from gnn.quantization.channel_scheme import ChannelScheme
from gnn.quantization.degree_protection import DegreeProtection
from gnn.quantization.fake_quantize import require_bit_width
from gnn.quantization.integer_model import convert, idle_inputs, plain_weights
from gnn.quantization.node_group_scheme import NodeGroupScheme
from gnn.quantization.quantized_model import quantize_model
from gnn.quantization.range_scheme import RangeScheme
from gnn.quantization.scheme import Scheme
from gnn.quantization.tensor_quantizer import TensorQuantizerSettings

Model = TypeVar("Model", bound=nn.Module)
BFLOAT16 = "bfloat16"
Kind = Literal["range", "channel", "node-group", "bfloat16"]
MOST_GROUPS = 2**16


def in_bfloat16(model: nn.Module) -> bool:
    """Whether the products of a model read bfloat16."""
    return getattr(getattr(model, "quantization", None), "kind", None) == BFLOAT16


@dataclass(frozen=True)
class Quantization:
    """All that decides which quantizers a model has; what they learned is in its state.

    `kind` names the scheme, or "bfloat16" for products that read such numbers; the layers in `fp32_layers` and the
    places in `fp32_sites` have none. `groups` and `nonnegative`, the layers whose inputs have no sign, are for
    "node-group" only. Raises `SettingError` out of range.
    """

    kind: Kind
    bit_width: int
    fp32_layers: tuple[str, ...] = ()
    fp32_sites: tuple[str, ...] = ()
    groups: int = 1
    nonnegative: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind == BFLOAT16 and self.bit_width != BITS:
            raise SettingError(f"bit_width {self.bit_width!r} is not that of bfloat16; give {BITS}")
        if self.kind != BFLOAT16:
            require_bit_width(self.bit_width)
        if self.kind not in get_args(Kind):
            raise SettingError(f"kind {self.kind!r} of quantization is unknown; valid are: {', '.join(get_args(Kind))}")
        if type(self.groups) is not int or not 1 <= self.groups <= MOST_GROUPS:
            raise SettingError(f"groups {self.groups!r} are outside 1 to {MOST_GROUPS}; give a number such as 1000")
        for name in ("fp32_layers", "fp32_sites", "nonnegative"):
            names = getattr(self, name)
            if not isinstance(names, list | tuple) or not all(isinstance(entry, str) for entry in names):
                raise SettingError(f"{name} {names!r} must be names of layers")
            # Settings are frozen for those who use them; JSON has lists where they were tuples.
            object.__setattr__(self, name, tuple(names))

    def scheme(
        self, settings: TensorQuantizerSettings | None = None, protection: DegreeProtection | None = None
    ) -> Scheme:
        """The scheme, with settings for the training of its ranges where it has any."""
        if self.kind == BFLOAT16:
            return Bfloat16Scheme()
        settings = settings or TensorQuantizerSettings(self.bit_width)
        if self.kind == "range":
            return RangeScheme(settings, protection)
        if self.kind == "channel":
            return ChannelScheme(settings)
        return NodeGroupScheme(self.bit_width, self.groups, frozenset(self.nonnegative))

    def apply(
        self,
        model: Model,
        settings: TensorQuantizerSettings | None = None,
        protection: DegreeProtection | None = None,
    ) -> Model:
        """Give a model its quantizers, in place, on its own device."""
        device = _device_of(model)
        model = quantize_model(model, self.scheme(settings, protection), self.fp32_layers)
        modules = dict(model.named_modules())
        for site in self.fp32_sites:
            if not hasattr(modules.get(site), "codes"):
                raise SettingError(f"place {site!r} is to stay in FP32, but nothing is quantized there; check its name")
            model.set_submodule(site, nn.Identity())
        return model.to(device)

    def to_integers(self, model: Model, *, structure_only: bool = False) -> Model:
        """A quantized model as one that runs on integers and, in its field `quantization`, says how it was made.

        One in bfloat16 has its rounded weights as plain parameters. With `structure_only` the model itself is
        changed, and loses its weights.
        """
        device = _device_of(model)
        if self.kind == BFLOAT16:
            in_bfloat16: Any = plain_weights(model)
            in_bfloat16.quantization = self
            return in_bfloat16
        integer: Any = convert(model, structure_bits=self.bit_width if structure_only else None).to(device)
        idle = [] if structure_only else idle_inputs(model)
        integer.quantization = replace(self, fp32_sites=(*self.fp32_sites, *idle))
        return integer

    def mapping(self) -> dict[str, Any]:
        """The same as JSON values."""
        return asdict(self)


def empty_integer_model(plain: Model, quantization: Quantization) -> Model:
    """The integer model that a plain one and a description make, for a state to be read into."""
    return quantization.to_integers(quantization.apply(plain), structure_only=True)


def _device_of(model: nn.Module) -> torch.device:
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))

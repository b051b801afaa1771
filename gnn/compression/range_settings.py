"""The six variants of quantization-aware training, which Degree-Quant has as well."""

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from gnn.errors import SettingError
from gnn.quantization.fake_quantize import Gradient, require_bit_width, require_gradient
from gnn.quantization.tensor_quantizer import TensorQuantizerSettings
from gnn.quantization.value_range import RangeTracking

Tracking = Literal["absolute", "momentum", "percentile"]

MOMENTUM = 0.01
# Shares of the values that are left out at either end; fewer codes can afford fewer outliers.
PERCENTILES = {8: 0.001, 4: 0.01}
_NAMES = {
    "straight-through": "ste",
    "gradient-clipping": "gc",
    "absolute": "abs",
    "momentum": "mom",
    "percentile": "per",
}


@dataclass(frozen=True)
class RangeSettings:
    """Bits of a code, how gradients pass and how ranges are tracked; raises `SettingError` for anything else.

    Source: the paper, section 2.5.1; Degree-Quant, reddit_binary/main.py, for the numbers.
    """

    can_be_fine_tuned: ClassVar[bool] = False
    bit_width: int = 8
    gradient: Gradient = "straight-through"
    tracking: Tracking = "absolute"

    def __post_init__(self) -> None:
        require_bit_width(self.bit_width)
        require_gradient(self.gradient)
        if self.tracking not in get_args(Tracking):
            raise SettingError(f"tracking {self.tracking!r} is unknown; valid are: {', '.join(get_args(Tracking))}")

    @property
    def compresses(self) -> bool:
        """Every weight becomes a code."""
        return True

    def id_parts(self) -> tuple[str, ...]:
        """The settings as they stand in a case id, such as ("int8", "gc-per")."""
        return (f"int{self.bit_width}", f"{_NAMES[self.gradient]}-{_NAMES[self.tracking]}")

    @property
    def quantizer(self) -> TensorQuantizerSettings:
        """The settings of every quantizer."""
        tracking = RangeTracking(
            momentum=MOMENTUM if self.tracking == "momentum" else None,
            percentile=self._percentile if self.tracking == "percentile" else None,
        )
        return TensorQuantizerSettings(self.bit_width, self.gradient, tracking)

    @property
    def _percentile(self) -> float:
        return PERCENTILES[8 if self.bit_width > 4 else 4]

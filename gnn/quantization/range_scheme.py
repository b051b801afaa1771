"""The scheme of quantization-aware training and of Degree-Quant: one quantizer per tensor, with a tracked range."""

from dataclasses import dataclass

from torch import Tensor, nn

from gnn.quantization.degree_protection import DegreeProtection
from gnn.quantization.scheme import Site
from gnn.quantization.tensor_quantizer import TensorQuantizer, TensorQuantizerSettings


@dataclass(frozen=True, eq=False)
class RangeScheme:
    """The same quantizer everywhere; with a `protection`, it leaves out protected nodes where rows are nodes.

    Source: Degree-Quant, reddit_binary/gin.py, make_quantizers.
    """

    settings: TensorQuantizerSettings
    protection: DegreeProtection | None = None
    sends_itself: bool = False

    def for_weights(self, weight: Tensor, output_axis: int) -> nn.Module:  # noqa: ARG002
        """One range for all of a weight."""
        return TensorQuantizer(self.settings)

    def for_site(self, site: Site) -> nn.Module:
        """One range for all numbers at a place."""
        return TensorQuantizer(self.settings, self.protection if site.of_nodes else None)

"""What a quantization method decides: which quantizer stands at which place of a layer."""

from dataclasses import dataclass, replace
from typing import Literal, Protocol

from torch import Tensor, nn

Place = Literal["inputs", "features", "messages", "norms", "aggregates", "updates"]


@dataclass(frozen=True)
class Site:
    """A place where a layer's numbers may be quantized.

    `inputs` and `features` are those of a product with weights, `messages` what a node sends, `norms` what edges
    multiply it with, `aggregates` the sums that arrive, `updates` what the layer gives. Rows are nodes where `of_nodes`
    says so. `channels` is the width of the numbers, None where it is not known before. `layer` is the name of the layer
    in its model.
    """

    place: Place
    channels: int | None = None
    of_nodes: bool = False
    layer: str = ""


class Scheme(Protocol):
    """The quantizers of one method; `sends_itself` says that a GIN adds a node's own message to those it gets."""

    @property
    def sends_itself(self) -> bool:
        """Whether a node's own term is its quantized message."""
        ...

    def for_weights(self, weight: Tensor, output_axis: int) -> nn.Module:
        """The quantizer of a weight with its output channels along an axis."""
        ...

    def for_site(self, site: Site) -> nn.Module | None:
        """The quantizer of a place, None where numbers stay as they are."""
        ...


@dataclass(frozen=True, eq=False)
class LayerScheme:
    """A scheme that knows which layer it is asked for."""

    scheme: Scheme
    layer: str

    @property
    def sends_itself(self) -> bool:
        """As the scheme says."""
        return self.scheme.sends_itself

    @property
    def protection(self) -> object:
        """The protection by degree that the scheme has, None for others."""
        return getattr(self.scheme, "protection", None)

    def for_weights(self, weight: Tensor, output_axis: int) -> nn.Module:
        """As the scheme says."""
        return self.scheme.for_weights(weight, output_axis)

    def for_site(self, site: Site) -> nn.Module | None:
        """What the scheme says for this layer."""
        return self.scheme.for_site(replace(site, layer=self.layer))


def quantizer_at(scheme: Scheme, site: Site) -> nn.Module:
    """The quantizer of a place, or the identity."""
    return scheme.for_site(site) or nn.Identity()

"""In how many bits a file holds the weights."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from gnn.errors import StorageError
from gnn.registry import Registry
from gnn.storage.codec import Content
from gnn.storage.entropy import entropy_bytes
from gnn.storage.float_bytes import blocks, join_floats, split_floats

SCALE_BYTES = 2


@dataclass(frozen=True, eq=False)
class HeldWeight:
    """A weight as a file holds it: elements [positions, outputs], and a scale [outputs] or none at all [0]."""

    elements: np.ndarray
    scale: np.ndarray


class Precision(ABC):
    """A way to hold weights; all of it before the file's entropy coding, and zeros stay zeros."""

    bit_width: int
    element_type: type[np.generic]
    scaled: bool = False

    @abstractmethod
    def hold(self, weight: np.ndarray) -> HeldWeight:
        """A weight [positions, outputs] in this precision; raises `StorageError` for values it has no room for."""

    @abstractmethod
    def restore(self, held: HeldWeight) -> np.ndarray:
        """The weight in FP32; raises `StorageError` when that is not a finite number and could not have been held."""

    @abstractmethod
    def bound_bytes(self, held: HeldWeight) -> float:
        """What an order-0 coder needs at least for a held weight."""

    @abstractmethod
    def stream_sizes(self, count: int) -> dict[str, int]:
        """The names of the streams that hold `count` elements that are not zero, and their bytes."""

    @abstractmethod
    def to_streams(self, nonzero: np.ndarray) -> dict[str, Content]:
        """Streams of elements that are not zero."""

    @abstractmethod
    def from_streams(self, streams: Mapping[str, Content], count: int) -> np.ndarray:
        """The elements that are not zero; raises `StorageError` for what is no code."""


@dataclass(frozen=True)
class FloatPrecision(Precision):
    """Weights as floating-point numbers: every bit of them in FP32, rounded to nearest in FP16."""

    bit_width: int
    element_type: type[np.generic]
    bits_type: type[np.unsignedinteger]

    def hold(self, weight: np.ndarray) -> HeldWeight:
        """Round; in FP16 weights that are no number or above 65504 are refused."""
        with np.errstate(over="ignore"):
            elements = weight.astype(self.element_type, copy=False)
        return HeldWeight(self._checked(elements), np.zeros(0, dtype=np.float32))

    def restore(self, held: HeldWeight) -> np.ndarray:
        """Exactly the number that was held."""
        return self._checked(held.elements).astype(np.float32, copy=False)

    def bound_bytes(self, held: HeldWeight) -> float:
        """The entropy of the mask and the raw values that are not zero."""
        return lossless_bound_bytes(held.elements != 0, held.elements.itemsize)

    def stream_sizes(self, count: int) -> dict[str, int]:
        """High bytes, with the exponents, and the others."""
        return {"weights.high": count, "weights.low": count * (self.bit_width // 8 - 1)}

    def to_streams(self, nonzero: np.ndarray) -> dict[str, Content]:
        """See `split_floats`."""
        return dict(zip(self.stream_sizes(0), split_floats(nonzero.view(self.bits_type)), strict=True))

    def from_streams(self, streams: Mapping[str, Content], count: int) -> np.ndarray:  # noqa: ARG002
        """See `join_floats`."""
        return join_floats(streams.values(), self.bits_type).view(self.element_type)

    def _checked(self, elements: np.ndarray) -> np.ndarray:
        if self.bit_width < 32 and not np.isfinite(elements).all():
            raise StorageError(f"holds numbers that are not finite in FP{self.bit_width}; fp32 keeps every bit")
        return elements


@dataclass(frozen=True)
class CodePrecision(Precision):
    """Weights as whole multiples of a scale: weight = code * scale, symmetric, one scale per output channel.

    scale = max |weight| / largest code over the channel, code = round(weight / scale) in -largest ... largest, with
    largest = 2^(bits - 1) - 1, that is 127 or 7. Codes have an entropy code, in which zero is a symbol.

    Source: Krishnamoorthi, arXiv 1806.08342, section 2.2 (symmetric quantizer, per channel). A scale is rounded to
    bfloat16: it has the exponents of FP32 in two bytes, moves no weight by more than the half step that rounding may
    move it anyway, and code * scale is exact in FP32, so holding a restored weight again changes nothing.
    """

    bit_width: int
    element_type = np.int8
    scaled = True

    @property
    def largest(self) -> int:
        """The largest code."""
        return 2 ** (self.bit_width - 1) - 1

    def hold(self, weight: np.ndarray) -> HeldWeight:
        """Round to the nearest code; weights that are no finite numbers are refused."""
        weight = weight.astype(np.float64)
        if not np.isfinite(weight).all():
            raise StorageError("holds numbers that are not finite; fp32 keeps every bit")
        scale = _round_scale(np.abs(weight).max(axis=0, initial=0) / self.largest)
        codes = np.rint(weight / np.where(scale > 0, scale, 1)).clip(-self.largest, self.largest).astype(np.int8)
        return HeldWeight(codes, np.where(codes.any(axis=0), scale, np.float32(0)))

    def restore(self, held: HeldWeight) -> np.ndarray:
        """code * scale, where a scale has to be a finite number not below zero."""
        with np.errstate(over="ignore", invalid="ignore"):
            sound = np.isfinite(held.scale * np.float32(self.largest)) & (held.scale >= 0)
        if not sound.all():
            raise StorageError("holds a scale that is not a finite number from 0 on")
        # A code of 0 is the weight 0, never -0.
        return held.elements.astype(np.float32) * held.scale

    def bound_bytes(self, held: HeldWeight) -> float:
        """The entropy of the codes, zeros among them, and the raw scales."""
        return entropy_bytes(held.elements) + SCALE_BYTES * held.scale.size

    def stream_sizes(self, count: int) -> dict[str, int]:
        """One stream: INT4 has two codes a byte."""
        return {"codes": (count * self.bit_width + 7) // 8}

    def to_streams(self, nonzero: np.ndarray) -> dict[str, Content]:
        """Codes as the numbers 0, 1, 2, 3, ... for 1, -1, 2, -2, ..., so that likely ones are next to each other."""
        codes = nonzero.astype(np.int16)
        symbols = (2 * np.abs(codes) - 2 + (codes < 0)).astype(np.uint8)
        if self.bit_width == 4:
            symbols = np.pad(symbols, (0, len(symbols) % 2))
            symbols = symbols[::2] << 4 | symbols[1::2]
        return {"codes": symbols.tobytes()}

    def from_streams(self, streams: Mapping[str, Content], count: int) -> np.ndarray:
        """The codes; symbols beyond the largest code are refused."""
        symbols = np.frombuffer(streams["codes"], dtype=np.uint8)
        if self.bit_width == 4:
            symbols = np.stack([symbols >> 4, symbols & 15], axis=1).flatten()
        if symbols[count:].any() or (symbols >= 2 * self.largest).any():
            raise StorageError(f"holds a code outside -{self.largest} to {self.largest}")
        symbol, codes = np.arange(256), np.empty(count, dtype=np.int8)
        of_symbol = ((symbol // 2 + 1) * (1 - symbol % 2 * 2)).astype(np.int8)
        for block in blocks(count):
            codes[block] = of_symbol[symbols[:count][block]]
        return codes


def lossless_bound_bytes(nonzero: np.ndarray, item_bytes: int) -> float:
    """Order-0 bound of values that are kept bit for bit: the entropy of their mask and the raw ones that are not zero.

    n H(p) / 8 with H(p) = -p log2 p - (1 - p) log2 (1 - p) and p the share that is not zero.
    """
    return entropy_bytes(nonzero) + int(nonzero.sum()) * item_bytes


def scale_bits(scale: np.ndarray) -> np.ndarray:
    """The bits of scales in bfloat16: the upper half of those in FP32."""
    return (scale.view(np.uint32) >> 16).astype(np.uint16)


def scale_of_bits(bits: np.ndarray) -> np.ndarray:
    """The scales that bits in bfloat16 stand for."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _round_scale(scale: np.ndarray) -> np.ndarray:
    """Scales in bfloat16, none between 0 and its smallest normal number, below which digits are lost."""
    rounded = torch.from_numpy(scale).to(torch.bfloat16).float().numpy()
    return np.where(scale > 0, np.maximum(rounded, np.finfo(np.float32).tiny), rounded)


PRECISIONS: Registry[Precision] = Registry("precision")
PRECISIONS.add("fp32", FloatPrecision(32, np.float32, np.uint32))
PRECISIONS.add("fp16", FloatPrecision(16, np.float16, np.uint16))
PRECISIONS.add("int8", CodePrecision(8))
PRECISIONS.add("int4", CodePrecision(4))

"""All tensors of a state as a few streams of bytes, and back.

One stream says which numbers are not zero, one or two hold the weights that are none, others their scales, the numbers
that are kept in FP32, and everything that is no float. Tensors share streams because a model has dozens of them, most
of a few bytes; in them a weight's output channels are last, so that what died together is next to each other.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor

from gnn.errors import StorageError
from gnn.storage.codec import Content, compress, decompress
from gnn.storage.float_bytes import join_floats, split_floats
from gnn.storage.layout import Layout
from gnn.storage.nonzero_mask import decode_mask, encode_mask
from gnn.storage.precision import HeldWeight, Precision, scale_bits, scale_of_bits
from gnn.storage.quotation import quoted
from gnn.tensor_bytes import tensor_bytes

MASK = "mask"
_SCALES = ("scales.high", "scales.low")
_FLOATS = ("floats.high", "floats.low")
_OTHERS = "others"


@dataclass(frozen=True)
class Stream:
    """Bytes of a file, and the codec that makes more of them."""

    codec: str
    blob: Content


def pack(state: Mapping[str, Tensor], layout: Layout, precision: Precision) -> dict[str, Stream]:
    """The streams that hold a state; those without a byte are left out. Raises `StorageError` naming a tensor."""
    weights, floats, scales = _Nonzero(precision.element_type), _Nonzero(np.float32), [np.zeros(0, dtype=np.float32)]
    for _, held in hold(state, layout, precision):
        weights.add(held.elements)
        scales.append(held.scale)
    for name in layout.floats:
        floats.add(state[name].detach().cpu().numpy())
    contents: dict[str, Content] = dict(precision.to_streams(weights.joined()))
    if precision.scaled:
        contents |= zip(_SCALES, split_floats(scale_bits(np.concatenate(scales))), strict=True)
    contents |= zip(_FLOATS, split_floats(floats.joined().view(np.uint32)), strict=True)
    contents[_OTHERS] = b"".join(tensor_bytes(state[name]).tobytes() for name in layout.others)
    mask = np.concatenate([*weights.masks, *floats.masks])
    streams = {MASK: Stream(*encode_mask(mask))} if mask.any() else {}
    return streams | {name: Stream(*compress(content)) for name, content in contents.items() if content}


class _Nonzero:
    """The elements of some tensors that are not zero, and which those are."""

    def __init__(self, dtype: type[np.generic]) -> None:
        self._parts: list[np.ndarray] = [np.zeros(0, dtype=dtype)]
        self.masks: list[np.ndarray] = [np.zeros(0, dtype=bool)]

    def add(self, elements: np.ndarray) -> None:
        kept = kept_elements(elements.ravel())
        self.masks.append(kept)
        self._parts.append(elements.ravel()[kept])

    def joined(self) -> np.ndarray:
        joined = np.concatenate(self._parts)
        self._parts.clear()
        return joined


def hold(state: Mapping[str, Tensor], layout: Layout, precision: Precision) -> Iterator[tuple[str, HeldWeight]]:
    """Every weight as a file holds it; raises `StorageError` for values that the precision has no room for."""
    if absent := next((name for name, tensor in state.items() if tensor.is_meta), None):
        raise StorageError(f"tensor {absent!r} is on device meta and has no numbers; build the model without it")
    for name in layout.weights:
        try:
            yield name, precision.hold(layout.matrix(name, state[name]))
        except StorageError as error:
            raise StorageError(f"tensor {name!r} {error}") from error


def kept_elements(elements: np.ndarray) -> np.ndarray:
    """Which elements have any bit set: -0.0 is kept, as it is a number of its own."""
    return elements.view(f"u{elements.itemsize}") != 0


def unpack(streams: dict[str, Stream], layout: Layout, precision: Precision) -> dict[str, Tensor]:
    """The state that was packed; raises `StorageError` naming a stream that does not fit the layout.

    Streams are taken out of their mapping, so that none stays in memory when its numbers are known.
    """
    weights = sum(prod(shape) for shape in layout.weights.values())
    floats = sum(prod(shape) for shape in layout.floats.values())
    mask = _read_mask(streams, weights + floats)
    of_weights, of_floats = mask[:weights], mask[weights:]
    sizes = _stream_sizes(layout, precision, int(of_weights.sum()), int(of_floats.sum()))
    contents = _contents(streams, sizes)
    elements = precision.from_streams(
        {name: contents.pop(name) for name in precision.stream_sizes(0)}, int(of_weights.sum())
    )
    numbers = join_floats([contents.pop(name) for name in _FLOATS], np.uint32).view(np.float32)
    scale = np.zeros(0, dtype=np.float32)
    if precision.scaled:
        scale = scale_of_bits(join_floats((contents[name] for name in _SCALES), np.uint16))
    return {
        **_weights(_spread(elements, of_weights, layout.weights), scale, layout, precision),
        **{name: torch.from_numpy(array) for name, array in _spread(numbers, of_floats, layout.floats)},
        **_others(contents[_OTHERS], layout),
    }


def _spread(
    nonzero: np.ndarray, mask: np.ndarray, shapes: Mapping[str, tuple[int, ...]]
) -> Iterator[tuple[str, np.ndarray]]:
    """One tensor after the other, with zeros where the mask has none of these numbers."""
    start, taken = 0, 0
    for name, shape in shapes.items():
        kept = mask[start : start + prod(shape)]
        count = int(kept.sum())
        elements = np.zeros(len(kept), dtype=nonzero.dtype)
        elements[kept] = nonzero[taken : taken + count]
        yield name, elements.reshape(shape)
        start, taken = start + len(kept), taken + count


def _read_mask(streams: dict[str, Stream], count: int) -> np.ndarray:
    stream = streams.pop(MASK, None)
    if stream is None:
        return np.zeros(count, dtype=bool)
    try:
        return decode_mask(stream.codec, stream.blob, count)
    except StorageError as error:
        raise StorageError(f"has a stream {MASK!r} that {error}") from error


def _stream_sizes(layout: Layout, precision: Precision, weights: int, floats: int) -> dict[str, int]:
    """Bytes of every stream but the mask, for that many weights and other floats that are not zero."""
    sizes = {**precision.stream_sizes(weights), _FLOATS[0]: floats, _FLOATS[1]: 3 * floats}
    if precision.scaled:
        sizes |= dict.fromkeys(_SCALES, layout.scale_count())
    sizes[_OTHERS] = sum(dtype.itemsize * prod(shape) for dtype, shape in layout.others.values())
    return sizes


def _contents(streams: dict[str, Stream], sizes: Mapping[str, int]) -> dict[str, Content]:
    needed, held = {name for name, size in sizes.items() if size}, streams.keys()
    if needed != held:
        raise StorageError(
            f"holds the streams {quoted(sorted(held))}, but its model and its mask need {sorted(needed)}"
        )
    contents: dict[str, Content] = {}
    for name, size in sizes.items():
        stream = streams.pop(name, Stream("stored", b""))
        try:
            content = decompress(stream.codec, stream.blob, size)
        except StorageError as error:
            raise StorageError(f"has a stream {name!r} that {error}") from error
        if len(content) != size:
            raise StorageError(f"has a stream {name!r} of {len(content)} bytes where {size} belong")
        contents[name] = content
    return contents


def _weights(
    elements: Iterator[tuple[str, np.ndarray]], scale: np.ndarray, layout: Layout, precision: Precision
) -> dict[str, Tensor]:
    weights, first_output = {}, 0
    for name, weight in elements:
        shape = layout.matrix_shape(name)
        held = HeldWeight(weight.reshape(shape), scale[first_output : first_output + shape[1]])
        try:
            weights[name] = layout.weight(name, precision.restore(held))
        except StorageError as error:
            raise StorageError(f"tensor {name!r} {error}") from error
        first_output += shape[1]
    return weights


def _others(content: Content, layout: Layout) -> dict[str, Tensor]:
    others, start = {}, 0
    for name, (dtype, shape) in layout.others.items():
        size = dtype.itemsize * prod(shape)
        data = np.frombuffer(content[start : start + size], dtype=np.uint8)
        if dtype == torch.bool and (data > 1).any():
            raise StorageError(f"holds a truth value in tensor {name!r} that is neither 0 nor 1")
        others[name] = torch.from_numpy(data.copy()).view(dtype).reshape(shape)
        start += size
    return others

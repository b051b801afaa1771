"""All tensors of a state as a few streams of bytes, and back.

One stream says which numbers are not zero, one or two hold the weights that are none, others their scales, the numbers
that are kept in FP32, and everything that is no float. Tensors share streams because a model has dozens of them, most
of a few bytes; in them a weight's output channels are last, so that what died together is next to each other.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor

from gnn.errors import StorageError
from gnn.storage.codec import compress, decompress
from gnn.storage.float_bytes import join_floats, split_floats
from gnn.storage.layout import Layout
from gnn.storage.nonzero_mask import decode_mask, encode_mask
from gnn.storage.precision import HeldWeight, Precision, scale_bits, scale_of_bits
from gnn.storage.quotation import quoted

MASK = "mask"
_SCALES = ("scales.high", "scales.low")
_FLOATS = ("floats.high", "floats.low")
_OTHERS = "others"


@dataclass(frozen=True)
class Stream:
    """Bytes of a file, and the codec that makes more of them."""

    codec: str
    blob: bytes


def pack(state: Mapping[str, Tensor], layout: Layout, precision: Precision) -> dict[str, Stream]:
    """The streams that hold a state; those without a byte are left out. Raises `StorageError` naming a tensor."""
    held = hold(state, layout, precision)
    elements = _joined((weight.elements for weight in held.values()), precision.element_type)
    floats = _joined((state[name].detach().cpu().numpy() for name in layout.floats), np.float32).view(np.uint32)
    contents = precision.to_streams(elements[kept_elements(elements)])
    if precision.scaled:
        scales = _joined((weight.scale for weight in held.values()), np.float32)
        contents |= dict(zip(_SCALES, split_floats(scale_bits(scales)), strict=True))
    contents |= dict(zip(_FLOATS, split_floats(floats[kept_elements(floats)]), strict=True))
    contents[_OTHERS] = b"".join(state[name].detach().cpu().numpy().tobytes() for name in layout.others)
    mask = np.concatenate([kept_elements(elements), kept_elements(floats)])
    streams = {MASK: Stream(*encode_mask(mask))} if mask.any() else {}
    return streams | {name: Stream(*compress(content)) for name, content in contents.items() if content}


def hold(state: Mapping[str, Tensor], layout: Layout, precision: Precision) -> dict[str, HeldWeight]:
    """Every weight as a file holds it; raises `StorageError` for values that the precision has no room for."""
    held = {}
    for name in layout.weights:
        if state[name].is_meta:
            raise StorageError(f"tensor {name!r} is on device meta and has no numbers; build the model without it")
        try:
            held[name] = precision.hold(layout.matrix(name, state[name]))
        except StorageError as error:
            raise StorageError(f"tensor {name!r} {error}") from error
    return held


def kept_elements(elements: np.ndarray) -> np.ndarray:
    """Which elements have any bit set: -0.0 is kept, as it is a number of its own."""
    return elements.view(f"u{elements.itemsize}") != 0


def unpack(streams: Mapping[str, Stream], layout: Layout, precision: Precision) -> dict[str, Tensor]:
    """The state that was packed; raises `StorageError` naming a stream that does not fit the layout."""
    weights = sum(prod(shape) for shape in layout.weights.values())
    floats = sum(prod(shape) for shape in layout.floats.values())
    mask = _read_mask(streams, weights + floats)
    of_weights, of_floats = mask[:weights], mask[weights:]
    sizes = _stream_sizes(layout, precision, int(of_weights.sum()), int(of_floats.sum()))
    contents = _contents(streams, sizes)
    elements = np.zeros(weights, dtype=precision.element_type)
    codes = {name: contents[name] for name in precision.stream_sizes(0)}
    elements[of_weights] = precision.from_streams(codes, int(of_weights.sum()))
    numbers = np.zeros(floats, dtype=np.uint32)
    numbers[of_floats] = join_floats((contents[name] for name in _FLOATS), np.uint32)
    scale = np.zeros(0, dtype=np.float32)
    if precision.scaled:
        scale = scale_of_bits(join_floats((contents[name] for name in _SCALES), np.uint16))
    return {
        **_weights(elements, scale, layout, precision),
        **_floats(numbers.view(np.float32), layout),
        **_others(contents[_OTHERS], layout),
    }


def _read_mask(streams: Mapping[str, Stream], count: int) -> np.ndarray:
    if MASK not in streams:
        return np.zeros(count, dtype=bool)
    try:
        return decode_mask(streams[MASK].codec, streams[MASK].blob, count)
    except StorageError as error:
        raise StorageError(f"has a stream {MASK!r} that {error}") from error


def _stream_sizes(layout: Layout, precision: Precision, weights: int, floats: int) -> dict[str, int]:
    """Bytes of every stream but the mask, for that many weights and other floats that are not zero."""
    sizes = {**precision.stream_sizes(weights), _FLOATS[0]: floats, _FLOATS[1]: 3 * floats}
    if precision.scaled:
        sizes |= dict.fromkeys(_SCALES, layout.scale_count())
    sizes[_OTHERS] = sum(dtype.itemsize * prod(shape) for dtype, shape in layout.others.values())
    return sizes


def _contents(streams: Mapping[str, Stream], sizes: Mapping[str, int]) -> dict[str, bytes]:
    needed, held = {name for name, size in sizes.items() if size}, streams.keys() - {MASK}
    if needed != held:
        raise StorageError(
            f"holds the streams {quoted(sorted(held))}, but its model and its mask need {sorted(needed)}"
        )
    contents = {}
    for name, size in sizes.items():
        try:
            content = decompress(streams[name].codec, streams[name].blob, size) if size else b""
        except StorageError as error:
            raise StorageError(f"has a stream {name!r} that {error}") from error
        if len(content) != size:
            raise StorageError(f"has a stream {name!r} of {len(content)} bytes where {size} belong")
        contents[name] = content
    return contents


def _weights(elements: np.ndarray, scale: np.ndarray, layout: Layout, precision: Precision) -> dict[str, Tensor]:
    weights, start, first_output = {}, 0, 0
    for name in layout.weights:
        positions, outputs = layout.matrix_shape(name)
        matrix = elements[start : start + positions * outputs].reshape(positions, outputs)
        held = HeldWeight(matrix, scale[first_output : first_output + outputs])
        try:
            weights[name] = layout.weight(name, precision.restore(held))
        except StorageError as error:
            raise StorageError(f"tensor {name!r} {error}") from error
        start, first_output = start + positions * outputs, first_output + outputs
    return weights


def _floats(numbers: np.ndarray, layout: Layout) -> dict[str, Tensor]:
    floats, start = {}, 0
    for name, shape in layout.floats.items():
        floats[name] = torch.from_numpy(numbers[start : start + prod(shape)].reshape(shape).copy())
        start += prod(shape)
    return floats


def _others(content: bytes, layout: Layout) -> dict[str, Tensor]:
    others, start = {}, 0
    for name, (dtype, shape) in layout.others.items():
        size = dtype.itemsize * prod(shape)
        data = np.frombuffer(content[start : start + size], dtype=np.uint8)
        if dtype == torch.bool and (data > 1).any():
            raise StorageError(f"holds a truth value in tensor {name!r} that is neither 0 nor 1")
        others[name] = torch.from_numpy(data.copy()).view(dtype).reshape(shape)
        start += size
    return others


def _joined(arrays: Iterable[np.ndarray], dtype: type[np.generic]) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype=dtype), *(array.ravel() for array in arrays)])

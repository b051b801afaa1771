"""Weights in fewer bits: within half a step of their scale, zeros stay zeros, and twice is once."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import nn

from gnn.errors import StorageError
from gnn.layers.hgpsl_convolution import HgpSlConvolution
from gnn.layers.spline_convolution import SplineConvolution
from gnn.storage.layout import Layout
from gnn.storage.precision import PRECISIONS, CodePrecision, HeldWeight, scale_bits, scale_of_bits
from gnn.storage.state_streams import Stream, pack, unpack

FINITE = st.floats(width=32, min_value=-(2.0**100), max_value=2.0**100) | st.just(0.0)
WEIGHTS = arrays.arrays(np.float32, arrays.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=FINITE)
CODES = ("int8", "int4")


def code_precision(name: str) -> CodePrecision:
    precision = PRECISIONS[name]
    assert isinstance(precision, CodePrecision)
    return precision


@pytest.mark.parametrize("name", CODES)
@settings(deadline=None, max_examples=120, derandomize=True)
@given(WEIGHTS)
def test_codes_are_within_half_a_step_and_hold_again_to_the_same(name: str, weight: np.ndarray) -> None:
    precision = code_precision(name)
    held = precision.hold(weight)
    restored = precision.restore(held)
    smallest_step = np.finfo(np.float32).tiny
    step = np.where(held.scale > 0, held.scale, smallest_step).astype(np.float64)
    assert (np.abs(weight.astype(np.float64) - restored) <= 0.5 * step * (1 + 1e-6)).all()
    assert np.abs(held.elements).max() <= precision.largest
    assert (restored[weight == 0] == 0).all()
    assert not np.signbit(restored[restored == 0]).any()
    again = precision.hold(restored)
    assert np.array_equal(again.elements, held.elements)
    assert np.array_equal(again.scale, held.scale)
    assert np.array_equal(scale_of_bits(scale_bits(held.scale)), held.scale)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(arrays.arrays(np.float32, (3, 4), elements=st.floats(width=32, min_value=-60000, max_value=60000)))
def test_fp16_is_the_nearest_half_and_holds_again_to_the_same(weight: np.ndarray) -> None:
    precision = PRECISIONS["fp16"]
    restored = precision.restore(precision.hold(weight))
    assert np.array_equal(restored, torch.from_numpy(weight).half().float().numpy())
    assert np.array_equal(precision.restore(precision.hold(restored)), restored)


def test_codes_by_hand() -> None:
    weight = np.array([[0.0, -0.5], [2.54, 0.0], [-1.2, 127.0], [0.001, 63.6]], dtype=np.float32)
    held = code_precision("int8").hold(weight)
    assert held.scale[1] == 1.0
    assert held.scale[0] == pytest.approx(0.02, rel=2**-9)
    # -0.5 is half a step and goes to the even code.
    assert held.elements.tolist() == [[0, 0], [127, 0], [-60, 127], [0, 64]]


@pytest.mark.parametrize("name", CODES)
def test_every_code_survives_its_stream(name: str) -> None:
    precision = code_precision(name)
    codes = np.array([code for code in range(-precision.largest, precision.largest + 1) if code], dtype=np.int8)
    for nonzero in (codes, codes[:-1], codes[:1], codes[:0]):
        streams = precision.to_streams(nonzero)
        assert {stream: len(content) for stream, content in streams.items()} == precision.stream_sizes(len(nonzero))
        assert precision.from_streams(streams, len(nonzero)).tolist() == nonzero.tolist()


@pytest.mark.parametrize(
    ("name", "content", "count"),
    [("int8", [254], 1), ("int8", [3, 255], 2), ("int4", [0xE0], 1), ("int4", [0x0F], 2), ("int4", [0x01], 1)],
)
def test_codes_out_of_range_are_refused(name: str, content: list[int], count: int) -> None:
    largest = code_precision(name).largest
    with pytest.raises(StorageError, match=f"^holds a code outside -{largest} to {largest}$"):
        PRECISIONS[name].from_streams({"codes": bytes(content)}, count)


@pytest.mark.parametrize("scale", [math.nan, math.inf, -1.0, 3e38])
def test_scales_that_are_no_scales_are_refused(scale: float) -> None:
    held = HeldWeight(np.ones((1, 1), dtype=np.int8), np.array([scale], dtype=np.float32))
    with pytest.raises(StorageError, match=r"^holds a scale that is not a finite number from 0 on$"):
        PRECISIONS["int8"].restore(held)


@pytest.mark.parametrize("name", CODES)
def test_the_largest_numbers_have_a_scale_that_gives_numbers_back(name: str) -> None:
    weight = np.finfo(np.float32).max * np.linspace(0.97, 1, 200, dtype=np.float32)[None]
    restored = code_precision(name).restore(code_precision(name).hold(weight))
    assert np.allclose(restored / weight, 1, rtol=0, atol=2**-8)


class Mixture(nn.Module):
    """Every kind of layer and every type of buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(5, 3)
        self.spline = SplineConvolution(4, 6, (2,))
        self.graph = HgpSlConvolution(4, 7)
        self.norm = nn.BatchNorm1d(3)
        self.att = nn.Parameter(torch.randn(1, 8))
        self.empty = nn.Parameter(torch.zeros(2, 0))
        self.register_buffer("kept", torch.tensor([True, False, True]))
        self.register_buffer("mask", torch.tensor([[0, 255], [1, 2]], dtype=torch.uint8))
        self.register_buffer("steps", torch.tensor([-(2**62), 3]))
        self.register_buffer("floats", torch.tensor([[0.0, -0.0], [math.nan, 1e-45]]))


def test_scales_belong_to_output_channels() -> None:
    layout = Layout.of(Mixture())
    assert {name: layout.matrix_shape(name) for name in layout.weights} == {
        "att": (8, 1),
        "empty": (0, 2),
        "linear.weight": (5, 3),
        "spline.weight": (8, 6),
        "spline.lin.weight": (4, 6),
        "graph.weight": (4, 7),
    }
    assert layout.scale_count() == 1 + 2 + 3 + 6 + 6 + 7
    weight = torch.arange(48.0).reshape(2, 4, 6)
    matrix = layout.matrix("spline.weight", weight)
    assert matrix[:, 5].tolist() == weight[:, :, 5].flatten().tolist()
    assert torch.equal(layout.weight("spline.weight", matrix), weight)
    assert layout.matrix("linear.weight", torch.arange(15.0).reshape(3, 5))[:, 0].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("name", list(PRECISIONS))
def test_every_type_of_tensor_survives(name: str) -> None:
    model, precision = Mixture(), PRECISIONS[name]
    layout, state = Layout.of(model), model.state_dict()
    restored = unpack(pack(state, layout, precision), layout, precision)
    assert restored.keys() == state.keys()
    for tensor_name, tensor in state.items():
        found = restored[tensor_name]
        assert (found.shape, found.dtype) == (tensor.shape, tensor.dtype)
        if tensor_name not in layout.weights or name == "fp32":
            assert found.numpy().tobytes() == tensor.numpy().tobytes(), tensor_name


def test_a_truth_value_that_is_none_is_refused() -> None:
    model, precision = Mixture(), PRECISIONS["fp32"]
    layout = Layout.of(model)
    streams = pack(model.state_dict(), layout, precision)
    size = sum(dtype.itemsize * math.prod(shape) for dtype, shape in layout.others.values())
    streams["others"] = Stream("stored", b"\x02" * size)
    with pytest.raises(StorageError, match=r"^holds a truth value in tensor 'kept' that is neither 0 nor 1$"):
        unpack(streams, layout, precision)

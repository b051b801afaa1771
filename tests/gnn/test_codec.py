"""Any tensor survives its encoding bit for bit."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import Tensor

from gnn.errors import StorageError
from gnn.storage.codec import decode, encode

FLOATS = st.floats(width=32) | st.sampled_from([0.0, -0.0, math.nan, math.inf, -math.inf, 1e-45, -1e-45])
SHAPES = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=7)
ARRAYS = (
    arrays.arrays(np.float32, SHAPES, elements=FLOATS, fill=st.just(0.0))
    | arrays.arrays(np.float32, SHAPES, elements=FLOATS)
    | arrays.arrays(np.int64, SHAPES, fill=st.just(0))
    | arrays.arrays(np.uint8, SHAPES, fill=st.just(0))
)


def bits(tensor: Tensor) -> bytes:
    return tensor.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes()


@settings(deadline=None, max_examples=250, derandomize=True)
@given(ARRAYS)
def test_any_tensor_survives_bit_for_bit(array: np.ndarray) -> None:
    tensor = torch.from_numpy(array.copy())
    tensor = torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor)  # NumPy gives empty arrays strides of 0
    encoded = encode(tensor)
    decoded = decode(json.loads(json.dumps(encoded.description)), encoded.blobs)
    assert (decoded.shape, decoded.dtype, bits(decoded)) == (tensor.shape, tensor.dtype, bits(tensor))


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.uint8])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.95, 1.0])
@pytest.mark.parametrize("size", [1, 7, 8, 9, 5000])
def test_masked_and_whole_tensors_survive(dtype: torch.dtype, share: float, size: int) -> None:
    generator = torch.Generator().manual_seed(size)
    tensor = (torch.randn(size, generator=generator) * 100).to(dtype)
    tensor[torch.rand(size, generator=generator) < share] = 0
    encoded = encode(tensor)
    assert bits(decode(encoded.description, encoded.blobs)) == bits(tensor)


def test_the_smaller_codec_is_chosen() -> None:
    dense = torch.randn(5000, generator=torch.Generator().manual_seed(0))
    sparse = dense * (torch.rand(5000, generator=torch.Generator().manual_seed(1)) < 0.1)
    sparse[sparse == 0] = 0.0
    assert encode(dense).description["codec"] == "whole"
    assert encode(sparse).description["codec"] == "masked"
    sizes = [sum(map(len, encode(tensor).blobs.values())) for tensor in (sparse, dense)]
    assert sizes[0] < 0.15 * sizes[1]


def test_a_tensor_that_is_not_contiguous_survives() -> None:
    tensor = torch.arange(12.0).reshape(3, 4).t()
    encoded = encode(tensor)
    assert torch.equal(decode(encoded.description, encoded.blobs), tensor)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.bool, torch.int32])
def test_a_type_that_cannot_be_stored_is_refused(dtype: torch.dtype) -> None:
    with pytest.raises(StorageError) as caught:
        encode(torch.zeros(2, dtype=dtype))
    assert str(caught.value) == f"tensors of type {dtype} cannot be stored; valid are: float32, int64, uint8"

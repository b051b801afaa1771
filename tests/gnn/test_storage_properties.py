"""Random models of every architecture, sparsity and precision come back from their files as they should."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnn import storage
from gnn.compression.prunable import prunable_parameters
from gnn.models import MODELS, GraphModel, build_model
from gnn.storage.layout import Layout
from gnn.storage.precision import PRECISIONS
from gnn.tensor_bytes import tensor_bytes

STEPS = {"int8": 127, "int4": 7}
SMALL = st.integers(1, 6)
SPARSITIES = [0.0, 0.3, 0.9, 1.0]

# Sizes that the settings of any model may have; all of a width divide among its heads.
SIZES = {
    "in_channels": st.integers(1, 40),
    "out_channels": SMALL,
    "hidden_channels": st.integers(1, 5).map(lambda half: 2 * half),
    "channels": SMALL,
    "layers": st.integers(1, 4),
    "heads": st.integers(1, 2),
    "kernel_size": st.integers(2, 4),
}


def sizes_of(name: str) -> st.SearchStrategy[dict[str, object]]:
    fields = [field.name for field in dataclasses.fields(MODELS[name].settings_class)]
    return st.fixed_dictionaries({field: SIZES[field] for field in fields if field in SIZES})


def fill(model: GraphModel, seed: int, sparsity: float, scale: float) -> None:
    """Random numbers in every tensor of the state, and exact zeros in that share of the weights."""
    generator = torch.Generator().manual_seed(seed)
    weights = {name for name, _, _ in prunable_parameters(model)}
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.dtype == torch.float32:
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * scale)
                if name in weights:
                    tensor[torch.rand(tensor.shape, generator=generator) < sparsity] = 0
            elif tensor.numel() and tensor.dtype == torch.int64:
                tensor.copy_(torch.randint(0, 2**40, tensor.shape, generator=generator))


def assert_round_trip(model: GraphModel, name: str, precision: str, path: Path) -> None:
    storage.save(model, path, model_name=name, task="x", precision=precision)
    loaded = storage.load(path).model
    expected, restored = storage.as_stored(model, precision), loaded.state_dict()
    assert list(restored) == list(expected) == list(model.state_dict())
    for tensor_name, tensor in expected.items():
        found = restored[tensor_name]
        assert (found.dtype, found.shape) == (tensor.dtype, tensor.shape)
        assert tensor_bytes(found).tobytes() == tensor_bytes(tensor).tobytes(), tensor_name
    again = storage.as_stored(loaded, precision)
    assert all(torch.equal(again[tensor_name], tensor) for tensor_name, tensor in restored.items())
    layout = Layout.of(model)
    for tensor_name, tensor in model.state_dict().items():
        if tensor_name in layout.weights:
            assert_near(
                layout.matrix(tensor_name, tensor), layout.matrix(tensor_name, restored[tensor_name]), precision
            )
        else:
            assert tensor_bytes(tensor).tobytes() == tensor_bytes(restored[tensor_name]).tobytes()


def assert_near(weight: "torch.Tensor | object", restored: object, precision: str) -> None:
    before, after = torch.as_tensor(weight).double(), torch.as_tensor(restored).double()
    assert bool((after[before == 0] == 0).all())
    if precision == "fp16":
        # Half a unit in the last place, or in that of the smallest normal number.
        assert bool(((after - before).abs() <= before.abs() * 2**-11 + 2**-25).all())
    elif precision in STEPS and before.numel():
        step = before.abs().amax(dim=0) / STEPS[precision]
        # A scale in bfloat16 is off by 2^-9 of itself at most.
        assert bool(((after - before).abs() <= 0.5 * step * (1 + 2**-8) + 1e-38).all())
    elif precision == "fp32":
        assert torch.equal(before, after)


def round_trip_of(name: str) -> Callable[[Path], None]:
    @settings(deadline=None, max_examples=12, derandomize=True)
    @given(
        sizes_of(name), st.integers(0, 99), st.sampled_from([0.0, 0.3, 0.9, 1.0]), st.sampled_from([1e-6, 0.1, 30.0])
    )
    def check(path: Path, sizes: dict[str, object], seed: int, sparsity: float, scale: float) -> None:
        model = build_model(name, sizes)
        fill(model, seed, sparsity, scale)
        precision = list(PRECISIONS)[seed % 4]
        assert_round_trip(model, name, precision, path)

    return check


@pytest.mark.parametrize("name", MODELS)
def test_random_models_come_back_from_their_files(name: str, tmp_path: Path) -> None:
    round_trip_of(name)(tmp_path / "m")

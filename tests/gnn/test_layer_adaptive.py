"""Layer-adaptive pruning scores weights as its paper says, removes exactly what was asked and empties no layer."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from gnn.compression import GlobalMagnitude, LayerAdaptive, compress, sparsity_of
from gnn.compression.layer_adaptive import lamp_scores
from tests.gnn.test_compression import PROPERTY, SHARES, random_model, weights_of


class Layers(nn.Module):
    """Weights as they are given, one matrix a layer."""

    def __init__(self, *layers: list[float]) -> None:
        super().__init__()
        self.layers = nn.ParameterList(torch.tensor([layer]) for layer in layers)


def kept_of(model: nn.Module, sparsity: float) -> list[list[bool]]:
    return [mask.flatten().tolist() for mask in compress(model, LayerAdaptive(sparsity)).masks.kept.values()]


def scores_by_definition(weight: Tensor) -> list[float]:
    """Equation 4 word for word, on Python's numbers: v >= u in ascending order, equal ones in their order."""
    square = [value**2 for value in weight.flatten().tolist()]
    place = [(value, index) for index, value in enumerate(square)]
    return [value / (sum(other for other, v in place if (other, v) >= (value, u)) or 1.0) for value, u in place]


@pytest.mark.parametrize(
    ("weight", "scores"),
    [
        ([3.0, -1.0, 2.0], [1.0, 1 / 14, 4 / 13]),
        ([-2.0, 2.0, 2.0], [1 / 3, 1 / 2, 1.0]),
        ([0.0, 1.0, -0.0], [0.0, 1.0, 0.0]),
        ([0.0, 0.0], [0.0, 1.0]),
        ([-7.0], [1.0]),
        # Their squares are no numbers of FP32.
        ([1e-30, 1e-30, 1e30], [1e-120, 1e-120, 1.0]),
    ],
)
def test_scores_that_can_be_computed_by_hand(weight: list[float], scores: list[float]) -> None:
    found = lamp_scores(torch.tensor([weight]))
    assert found.shape == (1, len(weight))
    assert found[0].tolist() == pytest.approx(scores, rel=1e-6, abs=0)


@pytest.mark.parametrize("shape", [(5, 7), (2, 3, 4), (1, 1)])
def test_scores_are_those_of_the_definition_and_of_torch_pruning(shape: tuple[int, ...]) -> None:
    torch_pruning: Any = pytest.importorskip("torch_pruning", reason="pip install torch-pruning==1.6.1")
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(1)).round(decimals=1)
    assert (weight == 0).any() or weight.numel() < 35
    found = lamp_scores(weight)
    assert found.flatten().tolist() == pytest.approx(scores_by_definition(weight), rel=1e-12)
    distinct = weight + torch.arange(weight.numel()).view(shape) * 1e-3
    expected = torch_pruning.importance.MagnitudeImportance()._lamp(distinct.square())
    torch.testing.assert_close(lamp_scores(distinct).float(), expected, rtol=1e-4, atol=1e-6)


@PROPERTY
@given(SHARES, st.integers(0, 999))
def test_the_smallest_scores_go_to_the_weight_and_every_layer_keeps_its_largest(share: float, seed: int) -> None:
    model = random_model(seed)
    before = weights_of(model)
    compressed = compress(model, LayerAdaptive(share))
    scores = torch.cat([lamp_scores(weight).flatten() for weight in before.values()])
    gone = torch.cat([~mask.flatten() for mask in compressed.masks.kept.values()])
    assert int(gone.sum()) == min(round(share * len(gone)), len(gone) - len(before))
    assert not gone.any() or scores[gone].max() <= scores[~gone].min()
    for name, after in weights_of(compressed.model).items():
        kept = compressed.masks.kept[name]
        assert torch.equal(after, before[name].masked_fill(~kept, 0.0))
        assert not after[~kept].view(torch.int32).any()
        assert kept.flatten()[before[name].abs().argmax()]


def test_a_layer_of_small_weights_is_kept_where_global_pruning_empties_it() -> None:
    model = Layers([0.01, 0.02], [10.0, 11.0, 12.0, 13.0])
    assert sparsity_of(compress(model, GlobalMagnitude(0.5)).model)[1] == {"layers.0": 1.0, "layers.1": 0.25}
    assert kept_of(model, 0.5) == [[False, True], [False, False, True, True]]
    assert kept_of(model, 0.99) == [[False, True], [False, False, False, True]]


def test_of_equal_scores_the_earlier_goes_first() -> None:
    # Both layers score 1/4, 1/3, 1/2, 1.
    model = Layers([3.0, -3.0, 3.0, 3.0], [5.0, 5.0, -5.0, 5.0])
    assert kept_of(model, 1 / 8) == [[False, True, True, True], [True] * 4]
    assert kept_of(model, 3 / 8) == [[False, False, True, True], [False, True, True, True]]
    zeros = Layers([0.0, 0.0, 1.0], [0.0, 2.0, 0.0])
    assert kept_of(zeros, 0.5) == [[False, False, True], [False, True, True]]


def test_one_weight_and_zeros_alone_are_layers_too() -> None:
    model = Layers([1e-9], [0.0, 0.0], [5.0, 6.0, 7.0])
    assert kept_of(model, 0.5) == [[True], [False, True], [False, False, True]]
    assert kept_of(model, 0.9) == [[True], [False, True], [False, False, True]]


def test_it_repeats_to_the_bit_and_is_named_by_its_share() -> None:
    states = [compress(random_model(3), LayerAdaptive(0.7)).model.state_dict() for _ in range(2)]
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())
    assert (LayerAdaptive.method, LayerAdaptive(0.9).id_parts()) == ("layer-adaptive", ("s0.9",))

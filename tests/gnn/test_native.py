"""Every kernel gives what PyTorch gives, at each width of vectors, and without a compiler PyTorch computes."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gnn.errors import SettingError
from gnn.layers import CsrMatrix
from gnn.native import (
    NOTHING,
    Activation,
    Attention,
    Bfloat16Weight,
    PackedWeight,
    ProductChain,
    activations,
    aggregate,
    attention,
    maximum,
    sum_rectified,
    transform,
)
from gnn.native import fastest as measuring
from gnn.native import library as native
from gnn.native.fastest import fastest

Compare = Callable[..., None]
ACTIVATIONS = [NOTHING, Activation("relu"), Activation("elu", 0.5)]
# Less than a vector, some of one, several panels; rows that leave a rest.
SIZES = [(0, 3, 5), (1, 1, 1), (3, 5, 7), (13, 9, 16), (61, 33, 40), (130, 128, 57)]
SPECIAL = torch.tensor([float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 3e38, -3e38, 1e-30, -1e-30])


@pytest.fixture(params=[None, 4, 16], ids=lambda width: f"{width or 'own'} lanes")
def compare(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Compare]:
    """Compares what a function gives with the kernels of a width and with PyTorch."""
    if request.param is not None:
        # Vectors that the processor has not are slow to optimise: at -O1 those of 16 took the compiler a minute.
        monkeypatch.setattr(native, "processor", lambda: (request.param, ("-O0",)))
    native.library.cache_clear()
    if native.library() is None:
        # A compiler that cannot make them is a fault.
        assert native.missing_because().startswith("there is no C compiler")
        pytest.skip(native.missing_because())

    def compared(function: Callable[..., Tensor], *arguments: Any) -> None:  # noqa: ANN401
        found = []
        for kernels in ("native", "sparse", "torch"):
            monkeypatch.setenv("GNN_KERNELS", kernels)
            for ways in (activations.WAYS, attention.WAYS):
                ways.clear()
            # A matrix keeps its way, a copy of it has none.
            found.append(function(*copy.deepcopy(arguments)))
        for ours in found[:-1]:
            torch.testing.assert_close(ours, found[-1], rtol=1e-5, atol=1e-5, equal_nan=True)

    yield compared
    native.library.cache_clear()


def random_matrix(rows: int, columns: int) -> CsrMatrix:
    """Unsorted entries, some equal, and rows without any."""
    entries = 2 * rows if columns else 0
    row, column = torch.randint(max(1, rows), (entries,)), torch.randint(max(1, columns), (entries,))
    kept = row % 3 != 1
    return CsrMatrix.from_coordinates(row[kept], column[kept], torch.randn(int(kept.sum())), (rows, columns))


def pruned(channels: int, outputs: int, sparsity: float) -> Tensor:
    """A weight with zeros, some channels and outputs of which have nothing else."""
    kept = torch.rand(channels, outputs) >= sparsity
    kept[::4], kept[:, 1::5] = False, False
    return torch.randn(channels, outputs) * kept / channels**0.5


def product(weight: Tensor, features: Tensor, base: Tensor | None, activation: Activation) -> Tensor:
    return PackedWeight(weight).product(features, base, activation)


def product_of_halves(weight: Tensor, features: Tensor, base: Tensor | None, activation: Activation) -> Tensor:
    return Bfloat16Weight(weight).product(features, base, activation)


def chain(
    weights: list[Tensor], features: Tensor, matrix: CsrMatrix | None, base: Tensor | None, own: Tensor | None = None
) -> Tensor:
    kinds, bases = [*ACTIVATIONS[1:], NOTHING][: len(weights)], [base, *[None] * (len(weights) - 1)]
    called = ProductChain([PackedWeight(weight) for weight in weights], kinds)
    called(features, matrix, bases, own)
    return copy.deepcopy(called)(features, matrix, bases, own)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda activation: activation.name)
def test_products_and_sums_over_neighbours(compare: Compare, activation: Activation) -> None:
    for rows, channels, outputs in SIZES:
        weight, features = torch.randn(channels, outputs), torch.randn(2 * rows, channels)[::2]
        matrix, table = random_matrix(rows, channels), torch.randn(outputs, channels).t()
        for base in (None, torch.randn(outputs), torch.randn(rows, outputs)):
            compare(product, weight, features, base, activation)
            compare(product, weight, features.t().contiguous().t(), base, activation)
            compare(product_of_halves, weight.t().contiguous().t(), features, base, activation)
            compare(aggregate, matrix, table, base, activation)


def test_chains_of_products(compare: Compare) -> None:
    for rows, channels, outputs in SIZES:
        weights = [torch.randn(*shape) / shape[0] ** 0.5 for shape in ((channels, outputs), (outputs, 11), (11, 70))]
        features = torch.randn(rows, channels)
        for matrix in (None, random_matrix(rows, rows)):
            for base in (None, torch.randn(outputs), torch.randn(rows, outputs)):
                compare(chain, weights, features, matrix, base)
                compare(chain, weights[:1], features, matrix, base)
                own = torch.randn(2 * rows, 9)[::2]
                both = [torch.randn(channels + 9, outputs), *weights[1:]]
                compare(chain, both, features, matrix, base, own)
                compare(chain, both[:1], features, matrix, base, own)


@pytest.mark.parametrize("sparsity", [0.5, 0.9, 1.0])
def test_weights_with_zeros(compare: Compare, sparsity: float) -> None:
    for rows, channels, outputs in SIZES:
        weights = [pruned(*shape, sparsity) for shape in ((channels, outputs), (outputs, 11), (11, 70))]
        features = torch.randn(2 * rows, channels)[::2]
        for activation, base in zip(ACTIVATIONS, (None, torch.randn(outputs), torch.randn(rows, outputs)), strict=True):
            compare(product, weights[0], features, base, activation)
            compare(chain, weights, features, random_matrix(rows, rows), base)
        if rows > 1:
            # What is not finite times zero is no zero, whoever passes over zeros.
            features[-1, 0] = float("inf")
            compare(product, weights[0], features, None, NOTHING)
            compare(chain, weights, features, None, None)


@pytest.mark.parametrize("score", attention.SCORES)
def test_attention(compare: Compare, score: str) -> None:
    for targets, sources, channels in [*SIZES, (3, 2500, 8), (900, 7, 4), (2, 5, 150)]:
        for heads, mean, activation in [(1, False, ACTIVATIONS[2]), (3, False, NOTHING), (2, True, ACTIVATIONS[1])]:
            width = heads * channels
            attend = Attention(score, heads, channels, 0.3, mean, torch.randn(width), torch.randn(width))
            matrix = random_matrix(targets, sources)
            rows = (torch.randn(width, sources).t(), torch.randn(2 * targets, width)[::2])
            edge = torch.randn(len(matrix.column), heads) if score == "additive" else None
            out = channels if mean else width
            for base in (None, torch.randn(out), torch.randn(targets, out)):
                compare(attend, matrix, rows, edge, base, activation)
            if sources:
                rows[0][0] = 100.0
                compare(attend, matrix, rows, edge)
                rows[0][0] = float("nan")
                compare(attend, matrix, rows, edge)


def test_maxima_and_functions_of_numbers(compare: Compare) -> None:
    for rows, columns, width in [*SIZES, (40, 30, 200)]:
        table = torch.randn(columns, width)
        table[:1, 0] = float("nan")
        matrix = random_matrix(rows, columns)
        compare(maximum, matrix, table)
        edge = torch.randn(width, len(matrix.column)).t()
        for own in (None, torch.randn(2 * rows, width)[::2]):
            compare(sum_rectified, matrix, table, edge, own, 1.3)
    values = torch.cat([torch.randn(1000) * 10 ** torch.linspace(-10, 38, 1000), SPECIAL])
    for function in (*ACTIVATIONS[1:], Activation("asinh")):
        compare(transform, values, function)
        compare(product_of_halves, torch.ones(1, 9), SPECIAL[:, None], None, NOTHING)
        compare(product, torch.ones(1, 9), SPECIAL[:, None], None, ACTIVATIONS[2])


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("CC", "no-such-compiler", "there is no C compiler 'no-such-compiler' here"),
        ("CC", "false", "false cannot compile them: no reason given"),
        ("GNN_KERNEL_CACHE", "/dev/null/folder", ""),
    ],
)
def test_without_a_compiler_or_a_cache_everything_is_computed(
    setting: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GNN_KERNEL_CACHE", str(tmp_path))
    monkeypatch.setenv(setting, value)
    monkeypatch.setattr(native, "processor", lambda: (4, ("-O0",)))
    for cached in (native.built, native.library):
        cached.cache_clear()
    try:
        assert native.missing_because() == said
        assert (native.library() is None) == bool(said)
        weight, features = torch.randn(9, 7), torch.randn(5, 9)
        torch.testing.assert_close(product(weight, features, None, NOTHING), features @ weight)
        assert not [path for path in tmp_path.iterdir() if not path.name.startswith(("kernels-", "fastest-"))]
    finally:
        for cached in (native.built, native.library):
            cached.cache_clear()


def test_the_faster_way_is_kept_and_can_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(measuring, "_file", lambda: tmp_path / "fastest.json")
    monkeypatch.setattr(measuring, "_known", lambda: known)
    known: dict[str, str] = {}
    calls = {"native": 0, "torch": 0}

    def way(name: str, work: int) -> Callable[[], object]:
        def compute() -> object:
            calls[name] += 1
            return torch.randn(work, 8).sum()

        return compute

    ways = {"native": way("native", 100_000), "torch": way("torch", 10)}
    key = ("a product of this test", str(tmp_path))
    assert [fastest(key, ways) for _ in range(2)] == ["torch", "torch"]
    measured = dict(calls)
    (kept,) = tmp_path.iterdir()
    assert any(text.startswith("a product of this test") for text in json.loads(kept.read_text()))
    assert fastest(key, ways) == "torch"
    assert calls == measured
    monkeypatch.setenv("GNN_KERNELS", "native")
    assert fastest(key, ways) == "native"
    monkeypatch.setenv("GNN_KERNELS", "quickest")
    with pytest.raises(SettingError, match="GNN_KERNELS is 'quickest'; expected native, sparse, torch or fastest"):
        fastest(key, ways)


def test_a_matrix_with_entries_outside_is_refused() -> None:
    pointer, value = torch.tensor([0, 1, 2]), torch.ones(2)
    for column in (torch.tensor([0, 3]), torch.tensor([-1, 0])):
        with pytest.raises(SettingError, match="entries outside of it"):
            CsrMatrix(pointer, column, value, (2, 3)).compact  # noqa: B018

"""Programs of rows on integers give what PyTorch gives to the bit, at each width of vectors and of products."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gnn.errors import SettingError
from gnn.layers import CsrMatrix
from gnn.native import Activation, integers
from gnn.native import library as native
from gnn.native.integers import RowProgram, unusable_because
from gnn.native.row_steps import (
    Activate,
    ByChannel,
    Entries,
    Multiply,
    NotFiniteError,
    Quantize,
    Read,
    Step,
    Sum,
    to_bytes,
)
from gnn.quantization.fake_quantize import Grid
from gnn.quantization.tensor_quantizer import TensorQuantizer, TensorQuantizerSettings
from gnn.runtime import compile as compile_module
from gnn.runtime import explain
from tests.gnn.random_graphs import random_task
from tests.gnn.test_integer_model import ToyNet, ToyScheme, convert, quantize_model, trained
from tests.gnn.test_native import random_matrix

# Less than a vector, some of one, several blocks of rows and panels of outputs.
SIZES = [(0, 3, 5), (1, 1, 1), (3, 5, 7), (25, 9, 16), (61, 33, 40), (130, 128, 65)]
# Of 8 bits with and without a sign, of few, and of positive numbers alone.
GRIDS = [Grid.of_range(-1.0, 2.0, 8), Grid.of_range(-3.0, 0.5, 8, signed=False), Grid.of_range(-2.0, 2.0, 3)]
RECTIFIED = Grid.of_range(-1.0, 3.0, 8).nonnegative
BUILDS = {"own": None, "4": (4, ("-O0",)), "16": (16, ("-O0",)), "4 of bytes": (4, ("-O0", "-DQUADS=1"))}


@pytest.fixture(params=BUILDS)
def _kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if (build := BUILDS[request.param]) is not None:
        monkeypatch.setattr(native, "processor", lambda: build)
    monkeypatch.setenv("GNN_KERNELS", "native")
    with forgotten():
        if native.library() is None:
            assert native.missing_because().startswith("there is no C compiler")
            pytest.skip(native.missing_because())
        assert unusable_because() == ""
        yield


@contextmanager
def forgotten() -> Iterator[None]:
    """What is known of kernels is found out anew, here and afterwards."""
    for cached in (native.library, unusable_because):
        cached.cache_clear()
    try:
        yield
    finally:
        for cached in (native.library, unusable_because):
            cached.cache_clear()


def multiply(grid: Grid, channels: int, outputs: int) -> Multiply:
    """A product with whole numbers that bytes have no room for, as they have another zero."""
    weight, scale = torch.randint(-40, 216, (channels, outputs)), torch.rand(outputs)

    def own(rows: Tensor) -> Tensor:
        codes = grid.codes(rows).sub_(grid.zero_point)
        return (codes.double() @ weight.double()).float().mul_(scale)

    return Multiply(grid, weight, scale, own)


def programs(channels: int, outputs: int) -> list[list[Step]]:
    """What follows upon what rows begin with."""
    first, second = multiply(GRIDS[0], channels, outputs), multiply(GRIDS[1], outputs, 70)
    shift, scale = torch.randn(outputs), torch.randn(outputs)
    change = [ByChannel(None, shift), Quantize(RECTIFIED), ByChannel(scale, shift)]
    return [
        [],
        [first],
        [Quantize(GRIDS[2]), first, *change, *change, Activate(Activation("relu")), second],
        [
            first,
            Quantize(GRIDS[1]),
            Activate(Activation("elu")),
            Quantize(GRIDS[2]),
            second,
            ByChannel(None, torch.ones(70)),
        ],
        [first, ByChannel(None, shift), Quantize(GRIDS[2]), Activate(Activation("elu", 0.5))],
    ]


def same(program: RowProgram, *given: Any) -> None:  # noqa: ANN401
    found, expected = program(*given), program.plain(*given)
    assert program.ways <= {"native"}
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    # An exponential that no grid follows upon is rounded in another way.
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6 if isinstance(program.steps[-1], Activate) else 0)


@pytest.mark.usefixtures("_kernels")
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_rows_are_those_of_pytorch(size: tuple[int, int, int]) -> None:
    rows, channels, outputs = size
    features, others = torch.randn(2 * rows, channels)[::2] * 2, torch.randn(rows, channels)
    for steps in programs(channels, outputs):
        for grid in (None, GRIDS[1], GRIDS[2]):
            same(RowProgram([Read(), *steps], grid), features)
            same(RowProgram([Read(GRIDS[1]), Read(adds=True), *steps], grid), to_bytes(features, GRIDS[1]), others)
            same(RowProgram([Read(), Read(GRIDS[2], adds=True), *steps], grid), others, to_bytes(features, GRIDS[2]))


@pytest.mark.usefixtures("_kernels")
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_sums_are_those_of_pytorch(size: tuple[int, int, int]) -> None:
    rows, channels, outputs = size
    matrix = random_matrix(rows, 2 * rows)
    codes = to_bytes(torch.randn(2 * rows, channels), GRIDS[0])
    for whole in (torch.ones_like(matrix.value), torch.randint(-255, 256, matrix.value.shape).float()):
        for steps in programs(channels, outputs):
            same(RowProgram([Sum(GRIDS[0], 0.01), *steps], GRIDS[1]), codes, Entries.of(matrix, whole))


@pytest.mark.usefixtures("_kernels")
def test_sums_of_numbers_in_fp32_are_close() -> None:
    matrix, table = random_matrix(40, 30), torch.randn(30, 33)
    for steps in programs(33, 9):
        program = RowProgram([Sum(), *steps])
        apart = (program(table, matrix) - program.plain(table, matrix)).abs()
        assert float((apart > 1e-5).float().mean()) < 0.02


def test_what_kernels_have_no_room_for_is_computed_in_pytorch() -> None:
    matrix = CsrMatrix(torch.tensor([0, 2]), torch.tensor([0, 1]), torch.tensor([0.5, 1.0]), (1, 2))
    assert not Entries.of(matrix, matrix.value).exact
    many = CsrMatrix(torch.tensor([0, 40_000]), torch.zeros(40_000, dtype=torch.int64), torch.ones(40_000), (1, 2))
    assert not Entries.of(many, torch.full((40_000,), 255.0)).exact
    codes = torch.tensor([[3], [5]], dtype=torch.uint8)
    program = RowProgram([Sum(Grid(1.0, 1.0, 0.0, 255.0))])
    assert program(codes, Entries.of(matrix, matrix.value)).tolist() == [[5.0]]
    assert program.ways == set()


@pytest.mark.usefixtures("_kernels")
@pytest.mark.parametrize("wrong", [torch.nan, torch.inf, -torch.inf, 1e38])
def test_what_is_not_finite_has_no_code(wrong: float) -> None:
    features = torch.randn(30, 9)
    features[27, 8] = wrong
    program = RowProgram([Read(), multiply(GRIDS[0], 9, 4)])
    torch.testing.assert_close(program(features), program.plain(features), rtol=0, atol=0, equal_nan=True)
    shifted = RowProgram([Read(), ByChannel(None, features[27].clone()), *program.steps[1:]])
    features[27, 8] = 0.0
    shifted.steps[1].shift[8] = wrong  # pyright: ignore[reportAttributeAccessIssue]
    torch.testing.assert_close(shifted(features), shifted.plain(features), rtol=0, atol=0, equal_nan=True)
    features[27, 8] = wrong
    if wrong != 1e38:
        with pytest.raises(NotFiniteError, match="NaN or infinite activations cannot be quantized"):
            RowProgram([Read()], GRIDS[0])(features)


@pytest.mark.parametrize("name", ["gnnnet", "gin"])
@pytest.mark.parametrize("wrong", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("place", ["features", "bias"])
def test_a_model_says_of_what_is_not_finite_what_it_says_layer_by_layer(name: str, wrong: float, place: str) -> None:
    model, task = trained(name, "int8", {"graph-classification": random_task()})
    integer, batch = convert(model), model.prepare(task)["test"]
    if place == "bias":
        next(value for key, value in integer.named_parameters() if key.endswith("bias")).data[1] = wrong
        assert outcome(lambda: compile_module(integer, batch)(batch)) == outcome(lambda: integer(batch))
        return
    compiled = compile_module(integer, batch)
    assert "whole numbers in one" in explain(compiled)[""] or native.library() is None
    batch.features[3, 1] = wrong
    assert outcome(lambda: compiled(batch)) == outcome(lambda: integer(batch))


class Shared(nn.Module):
    """Rows on a grid that two others read."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = (TensorQuantizer(TensorQuantizerSettings(bits)) for bits in (8, 6, 4))

    def forward(self, features: Tensor) -> Tensor:
        hidden = self.first(features)
        return self.second(hidden) + self.third(hidden)


def test_bytes_between_have_no_room_for_what_is_not_finite() -> None:
    module, features = Shared(), torch.randn(30, 9)
    module(features)
    compiled = compile_module(module.eval(), features)
    assert "bytes between whole numbers (1x)" in explain(compiled)[""] or native.library() is None
    for wrong in (torch.nan, torch.inf):
        features[3, 1] = wrong
        torch.testing.assert_close(compiled(features), module(features), rtol=0, atol=0, equal_nan=True)


def outcome(inference: Callable[[], Tensor]) -> str:
    """The numbers, or why there are none."""
    try:
        with torch.no_grad():
            return str(inference().tolist())
    except SettingError as error:
        return str(error)


def test_kernels_that_err_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    own = integers.product_of_bytes

    def saturating(weight: Tensor, zero: int = 0) -> Any:  # noqa: ANN401
        return lambda rows: own(weight, zero)(rows).clamp(max=2.0**15 - 1)

    monkeypatch.setattr(integers, "product_of_bytes", saturating)
    unusable_because.cache_clear()
    said = unusable_because()
    assert native.library() is None or "wrong about large ones on this processor" in said
    model = quantize_model(ToyNet(9, 4), ToyScheme(TensorQuantizerSettings(8)))
    features = torch.randn(20, 9)
    model(features)
    compiled = compile_module(convert(model.eval()), features)
    assert (
        explain(compiled)["lin"] == f"QuantizedLinear is left as it is: there are no kernels for whole numbers: {said}"
    )
    assert torch.equal(compiled(features), convert(model)(features))
    unusable_because.cache_clear()

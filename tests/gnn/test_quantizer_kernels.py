"""Kernels of fake quantization give the bits that PyTorch gives, at each width of vectors."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gnn.compression import A2q, CompressionSettings, DegreeQuant, Qat, compress
from gnn.errors import SettingError
from gnn.native import library as native
from gnn.native import quantizers
from gnn.quantization.aggregation_aware import nearest_group, quantize_channels, quantize_nodes
from gnn.quantization.fake_quantize import Gradient, Grid, fake_quantize
from gnn.quantization.value_range import NOTHING_SEEN, Range, RangeTracking
from tests.gnn.random_graphs import random_task
from tests.gnn.toy_quantization import same, toy_context

Both = Callable[[Callable[[], Any]], tuple[Any, Any]]
BUILDS = {"own": None, "4": (4, ("-O0",)), "16": (16, ("-O0",))}
# Nothing, less than a vector, some of one, several.
SHAPES = [(0, 3), (3, 0), (1, 1), (1, 7), (5, 8), (13, 9), (40, 64), (61, 33)]
GRIDS = [
    Grid.of_range(-1.0, 2.0, 8),
    Grid.of_range(0.0, 2.0, 4, signed=False),
    Grid.of_range(-2.0, 2.0, 3),
    Grid(0.5, 0.0, 0.0, 7.0),
]
ODD = [0.0, -0.0, 1e-45, -1e-45, 1e-38, 3e38, -3e38, 8388607.5, -4194304.5, 2097151.5, math.inf, -math.inf]
TRACKINGS = [
    RangeTracking(),
    RangeTracking(momentum=0.3),
    RangeTracking(percentile=0.01),
    RangeTracking(percentile=0.3),
]


def known_anew() -> None:
    for cached in (native.library, quantizers.usable):
        cached.cache_clear()


@pytest.fixture(params=BUILDS)
def both(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Both]:
    """What a function gives with kernels and without."""
    if (build := BUILDS[request.param]) is not None:
        monkeypatch.setattr(native, "processor", lambda: build)
    known_anew()
    if native.library() is None:
        assert native.missing_because().startswith("there is no C compiler")
        pytest.skip(native.missing_because())

    def run(function: Callable[[], Any]) -> tuple[Any, Any]:
        found = []
        for kernels in ("fastest", "torch"):
            monkeypatch.setenv("GNN_KERNELS", kernels)
            quantizers.usable.cache_clear()
            assert quantizers.takes(torch.ones(2)) == (kernels != "torch")
            found.append(function())
        return found[0], found[1]

    yield run
    known_anew()


def alike(one: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> bool:
    """Whether all bits are the same, those of zeros, too, and the order of numbers in memory."""
    return all(
        first.is_contiguous() == second.is_contiguous()
        and torch.equal(first.view(torch.int32), second.view(torch.int32))
        for first, second in zip(one, other, strict=True)
    )


def numbers(shape: tuple[int, int], grid: Grid, seed: int) -> Tensor:
    """Random ones, halves between the numbers of a grid and odd ones."""
    generator = torch.Generator().manual_seed(seed)
    values = 3 * torch.randn(shape, generator=generator)
    halves = (torch.randint(-300, 300, shape, generator=generator) + 0.5 - grid.zero_point) * grid.scale
    odd = torch.tensor(ODD)[torch.randint(len(ODD), shape, generator=generator)]
    kind = torch.randint(5, shape, generator=generator)
    return torch.where(kind == 0, odd, torch.where(kind == 1, halves, values))


@pytest.mark.parametrize("rectify", [False, True])
@pytest.mark.parametrize("gradient", ["straight-through", "gradient-clipping"])
def test_fake_quantization_and_its_gradient(both: Both, gradient: Gradient, rectify: bool) -> None:
    for seed, (shape, grid) in enumerate((shape, grid) for shape in SHAPES for grid in GRIDS):
        rows = torch.randperm(shape[0], generator=torch.Generator().manual_seed(seed))
        for kept in (None, rows[: shape[0] // 3], rows[:0]):

            def run(case: Any = (seed, shape, grid, kept)) -> tuple[Tensor, ...]:  # noqa: ANN401
                seed, shape, grid, kept = case
                # Shifted by one number, they begin where no vector does.
                values = torch.empty(shape[0] * shape[1] + 1)[1:].view(shape).copy_(numbers(shape, grid, seed))
                if seed % 3 == 0:
                    values = values.t().clone().t()
                values, incoming = values.requires_grad_(), numbers(shape, grid, seed + 1)
                out = fake_quantize(values, grid, gradient, kept, rectify=rectify)
                passed = torch.autograd.grad(out, values, incoming, retain_graph=True)[0]
                # The gradient of a sum is one number for all.
                return out.detach(), passed.contiguous(), torch.autograd.grad(out.sum(), values)[0].contiguous()

            assert alike(*both(run))


def test_nan_stays_where_nobody_refuses_it(both: Both) -> None:
    with torch.no_grad():
        one, other = both(lambda: fake_quantize(torch.tensor([[math.nan, 0.3]]), GRIDS[0]))
    assert one[0, 0].isnan()
    assert one[0, 1] == other[0, 1]


def test_other_types_go_through_pytorch(both: Both) -> None:
    values = numbers((13, 9), GRIDS[0], 0).double().clamp(-1e6, 1e6)
    assert torch.equal(*both(lambda: fake_quantize(values, GRIDS[0])))
    assert len(set(both(lambda: RangeTracking(percentile=0.1).follow((-1.0, 1.0), values)))) == 1


def test_a_row_to_keep_that_is_not_there_is_refused(both: Both) -> None:
    def run() -> None:
        for row in (3, -1):
            with pytest.raises(IndexError):
                fake_quantize(torch.ones(3, 2), GRIDS[0], kept_rows=torch.tensor([row]))

    both(run)


@pytest.mark.parametrize("tracking", TRACKINGS)
def test_ranges(both: Both, tracking: RangeTracking) -> None:
    generator = torch.Generator().manual_seed(0)
    for shape in SHAPES:
        for kind in ("normal", "relu", "ties", "wide"):
            values = torch.randn(shape, generator=generator)
            values = {"relu": -(-values).clamp(min=0), "ties": (2 * values).round(), "wide": values**9}.get(
                kind, values
            )
            often = torch.randint(4, (shape[0],), generator=generator)
            for repeats in (None, often, often * 0, often * 2**28, often.repeat_interleave(2)[::2]):

                def run(values: Tensor = values, repeats: Tensor | None = repeats) -> list[Range]:
                    tracked = [tracking.follow(NOTHING_SEEN, values, repeats)]
                    for before in ((-0.5, 0.5), (-0.0, 2.0), (-9.0, 9.0)):
                        tracked.append(tracking.follow(before, values, repeats))
                    return [*tracked, tracking.follow(tracked[0], values.flip(0) * 1.01, repeats)]

                one, other = both(run)
                # As text, zeros have a sign.
                assert str(one) == str(other)


@pytest.mark.parametrize("tracking", TRACKINGS)
@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused_in_the_same_words(both: Both, tracking: RangeTracking, wrong: float) -> None:
    values = torch.randn(21, 5)
    values[17, 2] = wrong

    def run() -> list[str]:
        sentences = []
        for repeats in (None, torch.ones(21, dtype=torch.int64)):
            for before in (NOTHING_SEEN, (-1.0, 2.0)):
                with pytest.raises(SettingError, match="only finite numbers can be quantized") as caught:
                    tracking.follow(before, values, repeats)
                sentences.append(str(caught.value))
        return sentences

    one, other = both(run)
    assert one == other


@pytest.mark.parametrize("bits", [1.0, 2.0, 3.6, 8.0])
def test_learned_grids_and_their_gradients(both: Both, bits: float) -> None:
    generator = torch.Generator().manual_seed(0)
    for rows, width in SHAPES[2:]:
        x, incoming = torch.randn(2, rows, width, generator=generator)
        x[0, 0] = -0.0
        node_steps, steps = (0.3 * torch.randn(count, 1, generator=generator) for count in (5, width))
        steps[0] = 0.0
        # Halves between codes.
        x[-1] = 1.5 * steps[:, 0]

        def run(case: Any = (x, incoming, (node_steps, steps))) -> tuple[Tensor, ...]:  # noqa: ANN401
            x, incoming, steps = case
            found = []
            for way in ("nodes", "channels", "local", "rows"):
                source = x.clone().requires_grad_()
                step = steps[way != "nodes"].clone().requires_grad_()
                bit = torch.full_like(step, bits).requires_grad_()
                if way == "nodes":
                    out = quantize_nodes(source, step, bit, nearest_group(source, step, bit))
                elif way == "rows":
                    out = quantize_channels(source.t().contiguous(), step, bit, local_gradient=False).t()
                else:
                    out = quantize_channels(source.t(), step, bit, local_gradient=way == "local").t()
                found += [out.detach(), *torch.autograd.grad(out, (source, step, bit), incoming)]
            with torch.no_grad():
                found.append(quantize_channels(x.t(), steps[1], bit, local_gradient=False))
            return tuple(found)

        assert alike(*both(run))


def test_groups_are_the_first_of_the_nearest(both: Both) -> None:
    generator = torch.Generator().manual_seed(0)
    for width in (1, 7, 64):
        x = torch.randint(-64, 64, (300, width), generator=generator) / 16
        steps = torch.randint(0, 64, (120, 1), generator=generator) / 16
        bits = torch.randint(2, 5, (120, 1), generator=generator).float()
        assert torch.equal(*both(lambda x=x, steps=steps, bits=bits: nearest_group(x, steps, bits)))


def test_learned_quantizers_refuse_what_is_not_finite(both: Both) -> None:
    x = torch.randn(6, 9)
    x[2, 3] = math.inf
    step, bit = torch.ones(9, 1), torch.full((9, 1), 4.0)

    def run() -> None:
        for refused in (
            lambda: quantize_channels(x.t(), step, bit, local_gradient=True),
            lambda: nearest_group(x, step, bit),
        ):
            with pytest.raises(SettingError, match=r"^1 of the 54 values to quantize are NaN or infinite; scale the"):
                refused()

    both(run)


VARIANTS: dict[str, CompressionSettings] = {
    "momentum": Qat(8, "straight-through", "momentum"),
    "percentile": Qat(4, "gradient-clipping", "percentile"),
    "protected percentile": DegreeQuant(4, "gradient-clipping", "percentile"),
    "protected absolute": DegreeQuant(8, "straight-through", "absolute"),
    "a2q": A2q(),
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("both", ["own"], indirect=True)
def test_training_gives_the_same_model(both: Both, variant: str, tmp_path: Path) -> None:
    folders = iter((tmp_path / "one", tmp_path / "other"))

    def run() -> Any:  # noqa: ANN401
        context = toy_context("gin", random_task(), next(folders))
        return compress(context.initial(), VARIANTS[variant], context)

    one, other = both(run)
    assert same(one.simulated, other.simulated)
    assert same(one.model, other.model)
    assert one.fitted.validation == other.fitted.validation

"""Products of whole numbers are exact on every processor, whichever kernel takes them."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from gnn.quantization import integer_kernels
from gnn.quantization.integer_kernels import int8_product, torch_product_kernel, whole_product

CAPPED = (
    {},
    {"ONEDNN_MAX_CPU_ISA": "SSE41"},
    {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    {"ONEDNN_MAX_CPU_ISA": "AVX2_VNNI"},
    {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
    {"ATEN_CPU_CAPABILITY": "default"},
)
# Libraries read the variables when they first compute, and importing takes longer than that.
IN_FORKS = """
import os
from tests.gnn.test_integer_kernels import CAPPED, inexact, int8_product, torch_product_kernel

for variables in CAPPED:
    if os.fork() == 0:
        os.environ.update(variables)
        print(inexact(int8_product), torch_product_kernel(), flush=True)
        os._exit(0)
    os.wait()
"""
CHANNELS = (1, 2, 3, 4, 5, 8, 31, 64, 128, 500, 1024, 1025, 2048, 4096)


def numbers(rows: int, channels: int, kind: str) -> Tensor:
    if kind == "full range":
        generator = torch.Generator().manual_seed(rows * channels)
        return torch.randint(-128, 128, (rows, channels), generator=generator, dtype=torch.int8)
    return torch.full((rows, channels), int(kind), dtype=torch.int8)


def inexact(product: Callable[[Tensor, Tensor], Tensor]) -> list[tuple[int, str, str]]:
    """The channels and kinds of numbers whose product is not that of int64."""
    found = []
    for channels in CHANNELS:
        for kinds in (("full range", "full range"), ("-128", "-128"), ("127", "-128"), ("127", "127")):
            left, right = numbers(33, channels, kinds[0]), numbers(17, channels, kinds[1])
            if not torch.equal(product(left, right).long(), left.long() @ right.long().t()):
                found.append((channels, *kinds))
    return found


def test_products_are_exact_on_every_instruction_set() -> None:
    inherited = {name: value for name, value in os.environ.items() if not any(name in capped for capped in CAPPED)}
    command = [sys.executable, "-c", IN_FORKS]
    answer = subprocess.run(command, env=inherited, capture_output=True, text=True, check=False)
    answers = answer.stdout.splitlines()
    assert len(answers) == len(CAPPED), answer.stderr
    wrong = [pair for pair in zip(CAPPED, answers, strict=True) if pair[1] not in ("[] int8", "[] float32")]
    assert not wrong


@pytest.fixture
def forget_kernel() -> Iterator[None]:
    torch_product_kernel.cache_clear()
    yield
    torch_product_kernel.cache_clear()


def saturating(left: Tensor, right: Tensor) -> Tensor:
    return (left.int() @ right.int().t()).clamp(-(2**15), 2**15 - 1)


def missing(*_: Tensor) -> Tensor:
    raise RuntimeError("no such kernel")


@pytest.mark.usefixtures("forget_kernel")
@pytest.mark.parametrize("kernel", [saturating, missing])
def test_a_kernel_that_errs_is_not_used(
    kernel: Callable[[Tensor, Tensor], Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(integer_kernels, "_byte_product", kernel)
    monkeypatch.setattr(integer_kernels, "_least_s", lambda product, *_: 1.0 if product is kernel else 2.0)
    assert torch_product_kernel() == "float32"
    assert inexact(int8_product) == []


@pytest.mark.usefixtures("forget_kernel")
@pytest.mark.parametrize(("seconds", "expected"), [(1.0, "int8"), (3.0, "float32")])
def test_the_faster_of_two_exact_kernels_is_used(
    seconds: float, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exact(left: Tensor, right: Tensor) -> Tensor:
        return left.int() @ right.int().t()

    monkeypatch.setattr(integer_kernels, "_byte_product", exact)
    monkeypatch.setattr(integer_kernels, "_least_s", lambda product, *_: seconds if product is exact else 2.0)
    assert torch_product_kernel() == expected
    assert inexact(int8_product) == []


@pytest.mark.parametrize("channels", [257, 258, 259, 4096])
def test_long_sums_of_the_largest_codes_are_exact(channels: int) -> None:
    left, right = torch.full((3, channels), 255.0), torch.full((channels, 2), 255.0)
    assert (whole_product(left, right, 255 * 255) == 255 * 255 * channels).all()

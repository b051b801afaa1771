"""Colours of rows: those that comparing rows in full gives, whatever finds them."""

from typing import Any

import pytest
import torch
from torch import Tensor

from gnn.errors import SettingError
from gnn.layers import CsrMatrix
from gnn.runtime import colours

# Two of them are equal, and one is not equal to itself, but their bytes say otherwise.
VALUES = torch.tensor([0.0, -0.0, float("nan"), 1.0])


def random_operator(seed: int, tables: int) -> tuple[Tensor, CsrMatrix]:
    generator = torch.Generator().manual_seed(seed)
    nodes, entries = (int(torch.randint(1, size, (1,), generator=generator)) for size in (60, 120))
    x = torch.randint(0, 2, (nodes, 1), generator=generator).float()
    row, column = (torch.randint(0, size, (entries,), generator=generator) for size in (nodes, nodes * tables))
    value = VALUES[torch.randint(0, len(VALUES), (entries,), generator=generator)]
    return x, CsrMatrix.from_coordinates(row, column, value, (nodes, nodes * tables))


@pytest.mark.parametrize("bits", [64, 3])
@pytest.mark.parametrize("tables", [1, 3])
def test_colours_are_those_of_comparing_rows_in_full(tables: int, bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels and PyTorch number the same colours; a weak hash changes nothing for the kernels."""
    monkeypatch.setattr(colours, "HASH_BITS", bits)
    assert len(colours.equal_rows(torch.arange(20.0)[:, None])) == 20
    for seed in range(40):
        x, matrix = random_operator(seed, tables)
        found = colours.equal_rows(x)
        kept = colours.refine(found, found, matrix, tables)
        known: dict[Any, int] = {}
        bits_of_value = matrix.value.view(torch.int32)
        pointer, of_column = matrix.row_pointer.tolist(), found.of_row.tolist()
        for row, colour in enumerate(kept.of_row.tolist()):
            entries = range(pointer[row], pointer[row + 1])
            read = sorted(
                (
                    of_column[int(matrix.column[entry]) // tables],
                    int(matrix.column[entry]) % tables,
                    int(bits_of_value[entry]),
                )
                for entry in entries
            )
            assert known.setdefault((tuple(x[row].tolist()), tuple(read)), len(known)) == colour
        plain = colours.plain_refine(found, found, matrix, tables)
        assert torch.equal(plain.of_row, kept.of_row)
        assert torch.equal(plain.first, kept.first)
        plain = colours.plain_equal_rows(x.view(torch.int32))
        assert torch.equal(plain.of_row, found.of_row)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
@pytest.mark.parametrize("kernels", ["fastest", "torch"])
def test_bytes_say_what_is_equal(kernels: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GNN_KERNELS", kernels)
    row, beside = VALUES[[0, 1, 2, 2, 3, 0, 0]].to(dtype)[:, None], torch.tensor([[7]] * 6 + [[8]])
    found = colours.equal_rows(row, beside)
    assert found.of_row.tolist() == [0, 1, 2, 2, 3, 0, 4]
    assert found.first.tolist() == [0, 1, 2, 4, 6]
    assert colours.equal_rows(row[:, :0]).of_row.tolist() == [0] * 7
    assert len(colours.equal_rows(row[:0])) == 0


def test_an_entry_outside_of_an_operator_is_no_colour() -> None:
    found = colours.equal_rows(torch.zeros(2, 1))
    outside = CsrMatrix(torch.tensor([0, 1, 2]), torch.tensor([0, 7]), torch.ones(2), (2, 2))
    with pytest.raises(SettingError, match="entries outside"):
        colours.refine(found, found, outside)

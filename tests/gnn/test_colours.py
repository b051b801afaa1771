"""Colours of rows: those that comparing rows in full gives, whatever finds them."""

from typing import Any

import pytest
import torch
from torch import Tensor

from gnn.errors import SettingError
from gnn.layers import CsrMatrix
from gnn.runtime import colours


def random_operator(seed: int, tables: int) -> tuple[Tensor, CsrMatrix]:
    generator = torch.Generator().manual_seed(seed)
    nodes, entries = (int(torch.randint(1, size, (1,), generator=generator)) for size in (30, 90))
    x = torch.randint(0, 2, (nodes, 2), generator=generator).float()
    row, column = (torch.randint(0, size, (entries,), generator=generator) for size in (nodes, nodes * tables))
    value = torch.randint(0, 2, (entries,), generator=generator).float()
    return x, CsrMatrix.from_coordinates(row, column, value, (nodes, nodes * tables))


@pytest.mark.parametrize("bits", [64, 3])
@pytest.mark.parametrize("tables", [1, 3])
def test_colours_are_those_of_comparing_rows_in_full(tables: int, bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels and PyTorch number the same colours; a weak hash changes nothing for the kernels."""
    monkeypatch.setattr(colours, "HASH_BITS", bits)
    for seed in range(40):
        x, matrix = random_operator(seed, tables)
        found = colours.equal_rows(x)
        kept = colours.refine(found, found, matrix, tables)
        known: dict[Any, int] = {}
        pointer, of_column = matrix.row_pointer.tolist(), found.of_row.tolist()
        for row, colour in enumerate(kept.of_row.tolist()):
            entries = range(pointer[row], pointer[row + 1])
            read = sorted(
                (
                    of_column[int(matrix.column[entry]) // tables],
                    int(matrix.column[entry]) % tables,
                    float(matrix.value[entry]),
                )
                for entry in entries
            )
            assert known.setdefault((tuple(x[row].tolist()), tuple(read)), len(known)) == colour
        plain = colours.plain_refine(found, found, matrix, tables)
        assert torch.equal(plain.of_row, kept.of_row)
        assert torch.equal(plain.first, kept.first)
        plain = colours.plain_equal_rows(x.view(torch.int32))
        assert torch.equal(plain.of_row, found.of_row)


def test_an_entry_outside_of_an_operator_is_no_colour() -> None:
    found = colours.equal_rows(torch.zeros(2, 1))
    outside = CsrMatrix(torch.tensor([0, 1, 2]), torch.tensor([0, 7]), torch.ones(2), (2, 2))
    with pytest.raises(SettingError, match="entries outside"):
        colours.refine(found, found, outside)

"""A sparse matrix computes what the dense one computes, forwards and backwards."""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gnn.layers import CsrMatrix, bag_sum

PROPERTY = settings(deadline=None, max_examples=60, derandomize=True)


@dataclass(frozen=True)
class Coordinates:
    """Random coordinates, duplicates, empty rows and empty matrices included, and their dense matrix."""

    row: Tensor
    column: Tensor
    value: Tensor
    shape: tuple[int, int]

    @property
    def matrix(self) -> CsrMatrix:
        return CsrMatrix.from_coordinates(self.row, self.column, self.value, self.shape)

    @property
    def dense(self) -> Tensor:
        dense = torch.zeros(self.shape, dtype=self.value.dtype)
        for row, column, value in zip(self.row, self.column, self.value, strict=True):
            dense[row, column] += value
        return dense


@st.composite
def coordinates(draw: st.DrawFn) -> Coordinates:
    rows, columns = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    entries = draw(st.lists(st.tuples(st.integers(0, rows - 1), st.integers(0, columns - 1)), max_size=15))
    index = torch.tensor(entries, dtype=torch.int64).reshape(-1, 2)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    value = torch.randn(len(entries), dtype=torch.float64, generator=generator)
    return Coordinates(index[:, 0], index[:, 1], value, (rows, columns))


def random_dense(rows: int, columns: int) -> Tensor:
    return torch.randn(rows, columns, dtype=torch.float64, generator=torch.Generator().manual_seed(rows + 7 * columns))


@PROPERTY
@given(coordinates())
def test_coordinates_become_sorted_rows(given_: Coordinates) -> None:
    matrix = given_.matrix
    assert matrix.shape == given_.shape
    assert matrix.row_pointer.dtype == matrix.column.dtype == torch.int64
    assert matrix.row_pointer[0] == 0
    assert torch.equal(matrix.row_pointer.diff(), torch.bincount(given_.row, minlength=given_.shape[0]))
    assert torch.equal(matrix.row, given_.row.sort().values)
    assert (((matrix.row * given_.shape[1] + matrix.column).diff()) >= 0).all()
    torch.testing.assert_close(matrix.to_dense(), given_.dense)


@PROPERTY
@given(coordinates(), st.integers(1, 4))
def test_product_is_the_dense_one(given_: Coordinates, width: int) -> None:
    dense = random_dense(given_.shape[1], width)
    torch.testing.assert_close(given_.matrix @ dense, given_.dense @ dense)


@PROPERTY
@given(coordinates())
def test_gradients_are_those_of_the_dense_product(given_: Coordinates) -> None:
    matrix, dense = given_.matrix, random_dense(given_.shape[1], 3)
    weight = random_dense(given_.shape[0], 3)
    values = [matrix.value.clone().requires_grad_() for _ in range(2)]
    tables = [dense.clone().requires_grad_() for _ in range(2)]
    ((matrix.with_value(values[0]) @ tables[0]) * weight).sum().backward()
    ((matrix.with_value(values[1]).to_dense() @ tables[1]) * weight).sum().backward()
    torch.testing.assert_close(values[0].grad, values[1].grad)
    torch.testing.assert_close(tables[0].grad, tables[1].grad)


def test_gradient_of_a_transposed_view_is_right() -> None:
    matrix = Coordinates(torch.tensor([0, 1]), torch.tensor([1, 0]), torch.ones(2, dtype=torch.float64), (2, 2)).matrix
    dense = random_dense(2, 2).requires_grad_()
    ((matrix @ dense).t() @ random_dense(2, 3)).sum().backward()
    expected = matrix.to_dense().t() @ random_dense(2, 3).sum(1, keepdim=True).expand(2, 2)
    torch.testing.assert_close(dense.grad, expected)


@pytest.mark.parametrize("wanted", ["value", "dense"])
def test_only_the_gradient_that_is_asked_for_is_given(wanted: str) -> None:
    matrix = Coordinates(torch.tensor([0, 1]), torch.tensor([1, 0]), torch.ones(2, dtype=torch.float64), (2, 2)).matrix
    value, dense = matrix.value.clone(), random_dense(2, 2)
    leaf = {"value": value, "dense": dense}[wanted].requires_grad_()
    product = matrix.with_value(value) @ dense
    assert torch.autograd.grad(product.sum(), leaf)[0].shape == leaf.shape
    assert {"value": value, "dense": dense}[wanted] is leaf
    assert value.grad is None
    assert dense.grad is None


@PROPERTY
@given(coordinates())
def test_transposition_is_the_transposed_matrix(given_: Coordinates) -> None:
    matrix = given_.matrix
    pointer, column, order = matrix.transposition
    rows, columns = given_.shape
    transposed = CsrMatrix(pointer, column, matrix.value[order], (columns, rows))
    torch.testing.assert_close(transposed.to_dense(), given_.dense.t())


@PROPERTY
@given(coordinates())
def test_other_values_keep_pattern_and_transposition(given_: Coordinates) -> None:
    matrix = given_.matrix
    other = matrix.with_value(matrix.value * 2 + 1)
    assert other.transposition is matrix.transposition
    assert other.shape == matrix.shape
    assert torch.equal(other.row_pointer, matrix.row_pointer)
    assert torch.equal(other.column, matrix.column)
    entries = torch.zeros(given_.shape, dtype=torch.float64)
    entries.index_put_((given_.row, given_.column), torch.ones_like(given_.value), accumulate=True)
    torch.testing.assert_close(other.to_dense(), 2 * given_.dense + entries)
    torch.testing.assert_close(matrix.to_dense(), given_.dense)
    dense = random_dense(given_.shape[1], 2).requires_grad_()
    (other @ dense).sum().backward()
    torch.testing.assert_close(dense.grad, other.to_dense().sum(0)[:, None].expand(-1, 2))


def test_the_transposition_is_computed_once_for_all_values() -> None:
    matrix = Coordinates(torch.tensor([0, 1]), torch.tensor([1, 0]), torch.ones(2), (2, 2)).matrix
    first, second = matrix.with_value(torch.ones(2)), matrix.with_value(torch.zeros(2))
    assert first.transposition is second.transposition is matrix.transposition


@PROPERTY
@given(coordinates(), st.data())
def test_columns_are_kept_in_order(given_: Coordinates, data: st.DataObject) -> None:
    columns = given_.shape[1]
    kept = torch.tensor(data.draw(st.lists(st.booleans(), min_size=columns, max_size=columns)))
    smaller = given_.matrix.keep_columns(kept)
    assert smaller.shape == (given_.shape[0], int(kept.sum()))
    assert len(smaller.value) == int(kept[given_.column].sum())
    torch.testing.assert_close(smaller.to_dense(), given_.dense[:, kept])


@pytest.mark.parametrize("shape", [(3, 4), (0, 4), (3, 0), (0, 0)])
def test_an_empty_matrix_multiplies_to_zero(shape: tuple[int, int]) -> None:
    none = torch.zeros(0, dtype=torch.int64)
    matrix = CsrMatrix.from_coordinates(none, none, torch.zeros(0), shape)
    dense = torch.ones(shape[1], 2, requires_grad=True)
    product = matrix @ dense
    assert torch.equal(product, torch.zeros(shape[0], 2))
    product.sum().backward()
    assert torch.equal(dense.grad, torch.zeros(shape[1], 2))  # pyright: ignore[reportArgumentType]


def test_to_moves_every_tensor_and_keeps_the_matrix() -> None:
    matrix = Coordinates(torch.tensor([1, 0]), torch.tensor([0, 2]), torch.tensor([1.0, 2.0]), (2, 3)).matrix
    moved = matrix.to("cpu")
    assert torch.equal(moved.to_dense(), matrix.to_dense())
    meta = matrix.to("meta")
    assert {tensor.device.type for tensor in (meta.row_pointer, meta.column, meta.value)} == {"meta"}


def test_bag_sum_adds_weighted_rows() -> None:
    table = torch.tensor([[1.0, 2.0], [3.0, 5.0], [7.0, 11.0]])
    pointer, index = torch.tensor([0, 2, 2, 3]), torch.tensor([0, 2, 1])
    sums = bag_sum(pointer, index, torch.tensor([2.0, -1.0, 0.5]), table)
    assert torch.equal(sums, torch.tensor([[-5.0, -7.0], [0.0, 0.0], [1.5, 2.5]]))

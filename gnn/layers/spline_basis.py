"""B-spline basis functions on a grid of kernel points."""

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor

from gnn.errors import SettingError


def _segment(offset: int, degree: int, v: Tensor) -> Tensor:
    """The piece of the cardinal B-spline that belongs to kernel point `offset`, v in [0, 1)."""
    pieces = {
        (1, 0): lambda: 1 - v,
        (1, 1): lambda: v,
        (2, 0): lambda: 0.5 * v * v - v + 0.5,
        (2, 1): lambda: -v * v + v + 0.5,
        (2, 2): lambda: 0.5 * v * v,
        (3, 0): lambda: (1 - v) ** 3 / 6,
        (3, 1): lambda: (3 * v**3 - 6 * v * v + 4) / 6,
        (3, 2): lambda: (-3 * v**3 + 3 * v * v + 3 * v + 1) / 6,
        (3, 3): lambda: v**3 / 6,
    }
    return pieces[degree, offset]()


def spline_basis(
    pseudo: Tensor, kernel_size: Sequence[int], is_open_spline: Sequence[bool], degree: int
) -> tuple[Tensor, Tensor]:
    """Evaluate the (degree + 1)^dimension basis functions that are not zero at each pseudo-coordinate.

    B(u) = product over dimensions d of N_d(u_d), v_d = u_d * (kernel_size_d - degree * open_d); the kernel
    points of one dimension are floor(v_d) + 0 ... degree, modulo kernel_size_d.

    Source: SplineCNN (CVPR 2018), section 3.2; order of the functions as in torch_spline_conv's `basis`.
    Shapes: pseudo [edges, dimension] in [0, 1] -> basis [edges, (degree + 1)^dimension] and the kernel
    index of each, int64. Raises `SettingError` for a degree other than 1, 2 or 3.
    """
    if degree not in (1, 2, 3):
        raise SettingError(f"spline degree {degree} is not supported; choose 1, 2 or 3")
    basis, index = [], []
    # The reference counts the first dimension fastest, itertools.product the last.
    for offsets in product(range(degree + 1), repeat=pseudo.shape[1]):
        value, kernel_index, stride = torch.ones_like(pseudo[:, 0]), 0, 1
        for dimension, offset in enumerate(reversed(offsets)):
            size = kernel_size[dimension]
            position = pseudo[:, dimension] * (size - degree * int(is_open_spline[dimension]))
            whole = position.detach().floor()
            value = value * _segment(offset, degree, position - whole)
            kernel_index = kernel_index + (whole.long() + offset) % size * stride
            stride *= size
        basis.append(value)
        index.append(kernel_index)
    return torch.stack(basis, dim=1), torch.stack(index, dim=1)  # pyright: ignore[reportArgumentType]

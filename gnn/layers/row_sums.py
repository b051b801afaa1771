"""Features whose rows sum to one."""

import torch

from gnn.layers.csr_matrix import CsrMatrix


def rows_with_sum_one(matrix: CsrMatrix) -> CsrMatrix:
    """Divide each row of a matrix of non-negative values by its sum; a row of zeros stays one.

    Source: PyG's NormalizeFeatures, with which its examples and those of DGL train on Cora.
    """
    total = torch.zeros(matrix.shape[0], device=matrix.value.device).index_add(0, matrix.row, matrix.value)
    return matrix.with_value(matrix.value / torch.where(total > 0, total, 1.0)[matrix.row])

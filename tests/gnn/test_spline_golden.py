"""The spline convolution equals PyG's, value for value."""

import ast
from pathlib import Path
from typing import Any

import pytest
import torch

from gnn.layers import SplineConvolution, spline_basis

pytestmark = pytest.mark.golden


def as_sequence(text: str, dimension: int) -> list[int]:
    value = ast.literal_eval(text)
    return list(value) if isinstance(value, list) else [value] * dimension


@pytest.fixture(scope="module")
def golden(golden_folder: Path) -> dict[str, Any]:
    return torch.load(golden_folder / "spline_conv.pt", weights_only=True)


@pytest.mark.parametrize("number", range(8))
def test_golden_spline_convolution(golden: dict[str, Any], number: int) -> None:
    case = golden["cases"][number]
    dimension = case["dim"]
    layer = SplineConvolution(
        golden["x"].shape[1],
        case["output"].shape[1],
        as_sequence(case["kernel_size"], dimension),
        is_open_spline=[bool(v) for v in as_sequence(case["is_open_spline"], dimension)],
        degree=case["degree"],
        aggregation=case["aggr"],
        root_weight=case["root_weight"],
        bias=case["bias"],
    )
    layer.load_state_dict(case["state_dict"])
    x = golden["x"].clone().requires_grad_()
    pseudo = case["edge_attr"].clone().requires_grad_()
    basis, index = spline_basis(pseudo, layer.grid, layer.is_open, layer.degree)
    torch.testing.assert_close(basis, case["basis"], rtol=1e-5, atol=1e-6)
    assert torch.equal(index, case["weight_index"])

    output = layer(x, golden["edge_index"], pseudo)
    output.backward(case["grad_output"])
    torch.testing.assert_close(output, case["output"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(x.grad, case["grad_x"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(pseudo.grad, case["grad_edge_attr"], rtol=1e-5, atol=1e-5)
    gradients = {name: parameter.grad for name, parameter in layer.named_parameters()}
    assert gradients.keys() == case["grads"].keys()
    for name, gradient in case["grads"].items():
        torch.testing.assert_close(gradients[name], gradient, rtol=1e-5, atol=1e-5)

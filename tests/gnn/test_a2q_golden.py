"""Aggregation-aware quantization equals the authors' code, value for value and gradient for gradient."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gnn.quantization.aggregation_aware import (
    groups_by_degree,
    naive_groups,
    nearest_group,
    quantize_channels,
    quantize_nodes,
)
from gnn.quantization.learned_quantizer import ChannelQuantizer, NodeQuantizer

pytestmark = pytest.mark.golden

CHANNEL_CASES = [
    (function, variant, gradient)
    for function in ("u_quant_weight", "u_quant_xw")
    for variant in ("init_bit4", "mixed", "negative_alpha")
    for gradient in ("ones", "random")
]
NODE_CASES = [
    (mode, groups, gradient)
    for mode, groups in (
        ("uniform_nns", 1000),
        ("degree_bucket_nns", 1000),
        ("naive_degree", 1000),
        ("uniform_nns", 37),
    )
    for gradient in ("ones", "random")
]


def close(found: Tensor | None, expected: Tensor) -> None:
    """Equal but for the order of sums, whose largest terms set the size of the rounding errors."""
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6 * float(expected.abs().max()))


def leaves(case: dict[str, Any], *names: str) -> tuple[Tensor, ...]:
    return tuple(case[name].clone().requires_grad_() for name in names)


def channel_case(folder: Path, number: int) -> dict[str, Any]:
    case = torch.load(folder / "a2q_weight_xw.pt", weights_only=True)["cases"][number]
    assert (case["fn"], case["variant"], case["grad_output_kind"]) == CHANNEL_CASES[number]
    return case


def node_case(folder: Path, number: int) -> tuple[dict[str, Any], Tensor]:
    """The case and the out-degree of its nodes."""
    golden = torch.load(folder / "a2q_feature_nns.pt", weights_only=True)
    case = golden["cases"][number]
    assert (case["mode"], case["groups"], case["grad_output_kind"]) == NODE_CASES[number]
    return case, torch.bincount(golden["edge_index"][0], minlength=len(case["x"]))


@pytest.mark.parametrize("number", range(12), ids=["-".join(case) for case in CHANNEL_CASES])
def test_golden_channels(golden_folder: Path, number: int) -> None:
    case = channel_case(golden_folder, number)
    x, step_size, bit_width = leaves(case, "x", "alpha", "bit")
    output = quantize_channels(x, step_size, bit_width, local_gradient=case["fn"] == "u_quant_xw")
    assert torch.equal(output, case["output"])
    output.backward(case["grad_output"])
    assert x.grad is not None
    assert torch.equal(x.grad, case["grad_x"])
    close(step_size.grad, case["grad_alpha"])
    close(bit_width.grad, case["grad_bit"])


@pytest.mark.parametrize("number", range(12), ids=["-".join(case) for case in CHANNEL_CASES])
def test_golden_channel_quantizer(golden_folder: Path, number: int) -> None:
    case = channel_case(golden_folder, number)
    is_node_feature = case["fn"] == "u_quant_xw"
    quantizer = ChannelQuantizer(16, 4, local_gradient=is_node_feature, axis=1 if is_node_feature else 0)
    quantizer.load_state_dict({"step_size": case["alpha"], "bit": case["bit"]})
    turn = torch.t if is_node_feature else torch.clone
    output = quantizer(turn(case["x"]).contiguous())
    assert torch.equal(output, turn(case["output"]))
    output.backward(turn(case["grad_output"]))
    close(quantizer.step_size.grad, case["grad_alpha"])
    close(quantizer.bit.grad, case["grad_bit"])


@pytest.mark.parametrize("number", range(8))
def test_golden_nodes(golden_folder: Path, number: int) -> None:
    case, out_degree = node_case(golden_folder, number)
    x, step_size, bit_width = leaves(case, "x", "gama", "bit")
    if case["mode"] == "uniform_nns":
        group = nearest_group(x, step_size, bit_width)
    elif case["mode"] == "degree_bucket_nns":
        group = groups_by_degree(out_degree, x, step_size, bit_width)
    else:
        group = naive_groups(out_degree, case["groups"])
    assert torch.equal(group, case["scale_index"])
    output = quantize_nodes(x, step_size, bit_width, group)
    assert torch.equal(output, case["output"])
    output.backward(case["grad_output"])
    assert x.grad is not None
    assert torch.equal(x.grad, case["grad_x"])
    close(step_size.grad, case["grad_gama"])
    close(bit_width.grad, case["grad_bit"])


@pytest.mark.parametrize("number", [number for number, case in enumerate(NODE_CASES) if case[0] == "uniform_nns"])
def test_golden_node_quantizer(golden_folder: Path, number: int) -> None:
    case, _ = node_case(golden_folder, number)
    quantizer = NodeQuantizer(case["groups"], 4, 0.1, 0.2)
    quantizer.load_state_dict({"step_size": case["gama"], "bit": case["bit"]})
    output = quantizer(case["x"])
    assert torch.equal(output, case["output"])
    assert torch.equal(quantizer.last_group, case["scale_index"])
    close(quantizer.memory_kb.detach(), case["bit_sum_KB"])
    (of_bit,) = torch.autograd.grad(quantizer.memory_kb, quantizer.bit)
    assert torch.equal(of_bit, case["grad_bit_of_bit_sum"])
    output.backward(case["grad_output"])
    close(quantizer.step_size.grad, case["grad_gama"])
    close(quantizer.bit.grad, case["grad_bit"])

"""A whole GIN under A2Q equals the code of its authors: outputs, memory and every gradient."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from gnn.compression.a2q import A2q, memory_penalty
from gnn.determinism import deterministic
from gnn.models.gin import Gin, GinSettings
from gnn.quantization.description import Quantization
from gnn.tasks import GraphBatch

pytestmark = pytest.mark.golden

GROUPS = 200
# The reference quantizes the weights of the first layer, but neither its inputs nor what the first convolution sends.
FP32_SITES = ("convs.0.nn.0.product.inputs", "convs.0.aggregation.messages")
QUANTIZATION = Quantization(
    "node-group",
    4,
    fp32_sites=FP32_SITES,
    groups=GROUPS,
    nonnegative=("convs.0.nn.2", "convs.1.nn.2", "convs.2.nn.2", "lin2"),
)


def renamed(name: str) -> str:
    """The name that an entry of the reference's state has here."""
    for theirs, ours in (("convs.1.", "convs.2."), ("convs.0.", "convs.1."), ("conv1.", "convs.0.")):
        if name.startswith(theirs):
            name = ours + name.removeprefix(theirs)
            break
    if name.startswith("bn_list."):
        _, number, rest = name.split(".", 2)
        return f"convs.{number}.nn.4.{rest}"
    for theirs, ours in (
        ("weight_quant.alpha", "parametrizations.weight.0.step_size"),
        ("weight_quant.bit", "parametrizations.weight.0.bit"),
        ("fea_quant.gama", "product.inputs.step_size"),
        ("fea_quant.bit", "product.inputs.bit"),
        ("q_xw.alpha", "aggregation.messages.step_size"),
        ("q_xw.bit", "aggregation.messages.bit"),
    ):
        name = name.replace(theirs, ours)
    return name.replace(".weight", ".parametrizations.weight.original") if name.endswith(".weight") else name


def close(found: Tensor, expected: Tensor, name: str) -> None:
    atol = 1e-6 * max(1.0, float(expected.abs().max()))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=10 * atol, msg=lambda text: f"{name}: {text}")


def test_golden_qgin(golden_folder: Path) -> None:
    with deterministic(seed=0):
        compare(torch.load(golden_folder / "a2q_qgin_small.pt", weights_only=True))


def compare(file: dict[str, Any]) -> None:
    case = file["cases"][0]
    settings = GinSettings(4, 2, hidden_channels=16, layers=3, dropout=0.0, feature_scaling="none")
    model = QUANTIZATION.apply(Gin(settings)).train()
    state = {renamed(name): value for name, value in case["state_dict_initial"].items() if not name.endswith("eps")}
    model.load_state_dict(state)
    order = torch.argsort(file["edge_index"][1], stable=True)
    pointer = torch.cat([torch.zeros(1, dtype=torch.int64), torch.bincount(file["batch"]).cumsum(0)])
    batch = GraphBatch(file["x"], file["edge_index"][:, order], pointer, file["y"])

    out = torch.log_softmax(model(batch), dim=1)
    close(out.detach(), case["train_output"], "train_output")
    penalty = memory_penalty(model, A2q(memory_weight=case["a_loss"], memory_kb=case["a_storage"]))()
    assert float(penalty.detach()) == pytest.approx(case["storage_loss"], rel=1e-5)
    (functional.cross_entropy(out, batch.labels) + penalty).backward()
    found = {name: parameter.grad for name, parameter in model.named_parameters()}
    compared = 0
    for name, expected in case["grads_total"].items():
        if name.endswith("eps") or expected.numel() == 0:
            continue
        gradient = found[renamed(name)]
        assert gradient is not None, name
        close(gradient, expected, name)
        compared += 1
    assert compared > 40
    with torch.no_grad():
        out = torch.log_softmax(model.eval()(batch), dim=1)
    close(out, case["eval_output_after_one_train_forward"], "eval_output")

"""Quantizers, masks and the quantized GIN equal the code of Degree-Quant."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gnn.determinism import deterministic
from gnn.models.gin import Gin, GinSettings
from gnn.quantization.degree_protection import DegreeProtection, protection_probability
from gnn.quantization.fake_quantize import Grid, fake_quantize
from gnn.quantization.quantized_model import quantize_model
from gnn.quantization.range_scheme import RangeScheme
from gnn.quantization.tensor_quantizer import TensorQuantizer, TensorQuantizerSettings
from gnn.quantization.value_range import RangeTracking
from gnn.tasks import GraphBatch

pytestmark = pytest.mark.golden

CASES, EDGES, STEPS = 40, 48, 5
GIN_CASES = ("fp32", "int8-abs", "int8-mom", "int4-gc-per", "dq-int8-gc-per", "dq-int4-gc-per")


@cache
def load(folder: Path, name: str) -> dict[str, Any]:
    return torch.load(folder / f"dq_{name}.pt", weights_only=True)


def settings_of(case: dict[str, Any], bits: int) -> TensorQuantizerSettings:
    tracking = RangeTracking(
        momentum=case.get("momentum", 0.01) if case.get("use_momentum") or case.get("momentum") is True else None,
        percentile=case["percentile"] if case["percentile"] > 0 else None,
    )
    straight = case["use_ste"] if "use_ste" in case else case["ste"]
    gradient = "straight-through" if straight else "gradient-clipping"
    return TensorQuantizerSettings(bits, gradient, tracking, case.get("signed"))


def checksum(values: Tensor) -> Tensor:
    values = values.double()
    return torch.stack([values.sum(), values.abs().sum(), values.square().sum()])


@pytest.mark.parametrize("number", range(CASES))
def test_golden_quantizer(golden_folder: Path, number: int) -> None:
    file = load(golden_folder, "integer_quantizer")
    assert len(file["cases"]) == CASES
    case = file["cases"][number]
    quantizer = TensorQuantizer(settings_of(case, case["num_bits"]))
    for step in range(STEPS):
        values = file["inputs"][step].clone().requires_grad_()
        out = quantizer(values)
        grid = quantizer.grid
        assert float(quantizer.minimum) == float(case["min_after"][step])
        assert float(quantizer.maximum) == float(case["max_after"][step])
        assert (grid.scale, grid.zero_point) == (float(case["scale"][step]), float(case["zero_point"][step]))
        assert (grid.lowest, grid.highest) == (case["qmin"], case["qmax"])
        torch.testing.assert_close(checksum(out.detach()), case["out_check"][step], rtol=1e-12, atol=1e-9)
        if step in (0, 4):
            assert torch.equal(out[:4].detach(), case[f"out_rows0_3_step{step}"])
        if f"code_minus_qmin_step{step}" in case:
            codes = (grid.codes(values.detach()) - grid.lowest).to(torch.uint8)
            assert torch.equal(codes, case[f"code_minus_qmin_step{step}"])
        (gradient,) = torch.autograd.grad(out, values, file["grad_random"])
        torch.testing.assert_close(checksum(gradient), case["gradrandom_check"][step], rtol=1e-12, atol=1e-9)
        if f"grad_ones_packed_step{step}" in case:
            (ones,) = torch.autograd.grad(quantizer.eval()(values), values, torch.ones_like(values))
            packed = torch.from_numpy(np.packbits(ones.numpy().astype(bool), axis=1))
            assert torch.equal(packed, case[f"grad_ones_packed_step{step}"])
            quantizer.train()


@pytest.mark.parametrize("number", range(EDGES))
def test_golden_edges(golden_folder: Path, number: int) -> None:
    file = load(golden_folder, "integer_quantizer")["edge"]
    assert len(file) == EDGES
    case = file[number]
    quantizer = TensorQuantizer(settings_of({**case, "percentile": -1.0}, case["num_bits"]))
    values = case["input"].clone().requires_grad_()
    out = quantizer(values)
    assert torch.equal(out.detach(), case["output"])
    assert (quantizer.grid.scale, quantizer.grid.zero_point) == (case["scale"], case["zero_point"])
    (gradient,) = torch.autograd.grad(out, values, torch.ones_like(values))
    assert torch.equal(gradient, case["grad_ones"])


def test_golden_symmetric(golden_folder: Path) -> None:
    file = load(golden_folder, "integer_quantizer")
    case = next(case for case in file["symmetric"] if case["signed"])
    values = file["inputs"][0][:8]
    grid = Grid.symmetric(float(values.min()), float(values.max()), case["num_bits"])
    assert (grid.scale, grid.zero_point) == (case["scale"], case["zero_point"])
    assert torch.equal(fake_quantize(values, grid), case["output"])


@pytest.mark.parametrize("number", range(15))
def test_golden_protection(golden_folder: Path, number: int) -> None:
    case = load(golden_folder, "prob_mask")["cases"][number]
    nodes = case["num_nodes"]
    in_degree = torch.bincount(case["edge_index"][1], minlength=nodes)
    found = protection_probability(in_degree, torch.tensor([0, nodes]), case["low"], case["high"])
    torch.testing.assert_close(found, case["prob_mask"], rtol=0, atol=1e-6)


def renamed(name: str) -> str:
    """The name that an entry of the reference's state has here."""
    for theirs, ours in (
        ("convs.3", "convs.4"),
        ("convs.2", "convs.3"),
        ("convs.1", "convs.2"),
        ("convs.0", "convs.1"),
    ):
        if name.startswith(theirs):
            name = ours + name.removeprefix(theirs)
            break
    name = name.replace("conv1.", "convs.0.").replace("min_val", "minimum").replace("max_val", "maximum")
    name = name.replace("layer_quant.weights.", "parametrizations.weight.0.").replace("layer_quant.", "product.")
    name = name.replace("_low", "").replace("mp_quantizers.update_q.", "updates.")
    name = name.replace("mp_quantizers.update.", "updates.")
    for place, ours in (("message", "messages"), ("aggregate", "aggregates")):
        name = name.replace(f"mp_quantizers.{place}.", f"aggregation.{ours}.")
    return name


@pytest.mark.parametrize("number", range(len(GIN_CASES)), ids=GIN_CASES)
def test_golden_gin(golden_folder: Path, number: int) -> None:
    """Ranges after three passes in training, and the outputs of all of them and of one in evaluation.

    On one thread, as the reference: sums in another order are other ties, and those are whole steps of a grid.
    """
    with deterministic(seed=0):
        compare_gin(golden_folder, number)


def compare_gin(golden_folder: Path, number: int) -> None:
    file = load(golden_folder, "gin_small")
    case = file["cases"][number]
    model, protection = quantized_gin(case)
    state = {renamed(name): value for name, value in case["state_dict"].items() if not name.endswith("eps")}
    quantized = {name.partition(".parametrizations.")[0] for name in state if ".parametrizations." in name}
    state = {
        f"{name.removesuffix('.weight')}.parametrizations.weight.original"
        if name.removesuffix(".weight") in quantized
        else name: value
        for name, value in state.items()
    }
    fresh = {
        name: torch.inf if name.endswith("minimum") else -torch.inf
        for name in state
        if name[-7:] in ("minimum", "maximum")
    }
    norms = {
        name: torch.full_like(value, "running_var" in name)
        for name, value in state.items()
        if "running" in name or "num_batches" in name
    }
    batch, before = batch_of(file), {**state, **norms}
    model.load_state_dict({**before, **{name: torch.tensor(value) for name, value in fresh.items()}})
    model.train()
    for step, seed in enumerate((100, 101, 102)):
        torch.manual_seed(seed)
        if protection is not None:
            degree = batch.adjacency.row_pointer.diff()
            protection.draw(degree, batch.node_pointer)
            protection.protect(torch.bernoulli(case["prob_mask"]).bool())
            torch.manual_seed(seed)
            torch.bernoulli(case["prob_mask"])
        with torch.no_grad():
            out = torch.log_softmax(model(batch), dim=1)
        torch.testing.assert_close(out, case["train_outputs_seed_100_to_102"][step], rtol=1e-5, atol=1e-5)
    ours = model.state_dict()
    for name, value in state.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-5, atol=1e-5, msg=lambda m, name=name: f"{name}: {m}")
    with torch.no_grad():
        out = torch.log_softmax(model.eval()(batch), dim=1)
    torch.testing.assert_close(out, case["eval_output"], rtol=1e-5, atol=1e-5)


def quantized_gin(case: dict[str, Any]) -> tuple[Gin, DegreeProtection | None]:
    """The model of a case, whose first linear layer stays in FP32."""
    model = Gin(GinSettings(in_channels=4, out_channels=2, hidden_channels=16, feature_scaling="none"))
    if case["qypte"] == "FP32":
        return model, None
    tracked = {**case, "use_momentum": case["momentum"], "momentum": 0.01}
    bits = int(case["qypte"].removeprefix("INT"))
    protection = DegreeProtection(0.0, 0.1) if case["dq"] else None
    scheme = RangeScheme(settings_of(tracked, bits), protection)
    quantize_model(model, scheme, exempt=["convs.0.nn.0"])
    return model, protection


def batch_of(file: dict[str, Any]) -> GraphBatch:
    pointer = torch.cat([torch.zeros(1, dtype=torch.int64), torch.bincount(file["batch"]).cumsum(0)])
    order = torch.argsort(file["edge_index"][1], stable=True)
    return GraphBatch(file["x"], file["edge_index"][:, order], pointer, file["y"])

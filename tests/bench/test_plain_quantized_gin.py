"""The yardsticks of quantization-aware training are the nets that they stand for."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.yardsticks.plain_a2q_gin import MEMORY_WEIGHT, PlainA2qGin
from bench.yardsticks.plain_quantized_gin import PlainQuantizedGin, protection_probability
from bench.yardsticks.plain_quantizer import PlainQuantizer
from gnn.determinism import deterministic
from gnn.models.gin import GinSettings
from gnn.tasks import GraphBatch
from tests.gnn.random_graphs import batch_of, random_task

QUANTIZER_NAMES = {
    "layer_quant.": "",
    "mp_quantizers.": "",
    "_low.": ".",
    "update_q.": "update.",
    "min_val": "minimum",
    "max_val": "maximum",
}
A2Q_NAMES = {
    "nn.0": "lin1",
    "nn.2": "lin2",
    "bn_list": "norms",
    "q_xw": "messages",
    "weight_quant": "weights",
    "fea_quant": "inputs",
    "alpha": "step",
    "gama": "step",
    ".bit": ".bits",
}
RUNNING = ("running_mean", "running_var", "num_batches_tracked", "minimum", "maximum")
QUANTIZED_CASES = range(1, 6)


def our_names(state: dict[str, Tensor], names: dict[str, str]) -> dict[str, Tensor]:
    """The state of a reference net whose eps is zero; it counts the convolutions behind conv1 from zero."""
    renamed = {}
    for name, tensor in state.items():
        if name.endswith(".eps"):
            continue
        first, *rest = name.split(".")
        if first == "conv1":
            first, rest = "convs", ["0", *rest]
        elif first == "convs":
            rest[0] = str(int(rest[0]) + 1)
        ours = ".".join([first, *rest])
        for theirs, our in names.items():
            ours = ours.replace(theirs, our)
        renamed[ours] = tensor
    return renamed


def golden_batch(golden: dict[str, Any]) -> GraphBatch:
    """The batch with its edges in the reference's order: another order of addition may turn a half-way value."""
    sizes = torch.bincount(golden["batch"])
    pointer = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    return GraphBatch(golden["x"], golden["edge_index"], pointer, golden["y"])


def small_settings(layers: int = 5) -> GinSettings:
    return GinSettings(in_channels=4, out_channels=2, hidden_channels=16, layers=layers, feature_scaling="none")


def quantized_gin(case: dict[str, Any]) -> PlainQuantizedGin:
    quantizer = partial(
        PlainQuantizer,
        int(case["qypte"].removeprefix("INT")),
        straight_through=case["ste"],
        momentum=0.01 if case["momentum"] else None,
        percentile=case["percentile"] if case["percentile"] > 0 else None,
    )
    return PlainQuantizedGin(small_settings(), quantizer, degree_quant=case["dq"])


@pytest.mark.golden
@pytest.mark.parametrize("number", QUANTIZED_CASES)
def test_golden_quantized_gin(golden_folder: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # On one thread, as the reference: sums in another order are other ties, whole steps of a grid.
    with deterministic(seed=0):
        golden = torch.load(golden_folder / "dq_gin_small.pt", weights_only=True)
        case, batch = golden["cases"][number], golden_batch(golden)
        monkeypatch.setattr(PlainQuantizedGin, "draw_protected", lambda *_: torch.bernoulli(case["prob_mask"]).bool())
        expected = our_names(case["state_dict"], QUANTIZER_NAMES)

        trained = quantized_gin(case).eval()
        trained.load_state_dict(expected)
        torch.testing.assert_close(trained(batch).log_softmax(1), case["eval_output"], rtol=0, atol=1e-5)

        model = quantized_gin(case)
        fresh = model.state_dict()
        model.load_state_dict({name: fresh[name] if name.endswith(RUNNING) else expected[name] for name in expected})
        for seed, output in zip((100, 101, 102), case["train_outputs_seed_100_to_102"], strict=True):
            torch.manual_seed(seed)
            torch.testing.assert_close(model(batch).log_softmax(1), output, rtol=0, atol=1e-5)
        torch.testing.assert_close(model.state_dict(), expected, rtol=0, atol=1e-5)


@pytest.mark.golden
def test_golden_a2q_gin(golden_folder: Path) -> None:
    golden = torch.load(golden_folder / "a2q_qgin_small.pt", weights_only=True)
    case, batch = golden["cases"][0], golden_batch(golden)
    model = PlainA2qGin(small_settings(case["num_layers"]), case["bit"], case["num_deg"])
    model.load_state_dict(linears_named(our_names(case["state_dict_initial"], A2Q_NAMES)))
    logits, memory = model.logits_and_memory(batch)
    torch.testing.assert_close(logits.log_softmax(1), case["train_output"], rtol=0, atol=1e-5)
    torch.testing.assert_close(memory, case["train_bit_sum"][0])
    penalty = MEMORY_WEIGHT * functional.relu(memory - case["a_storage"]) ** 2
    (functional.cross_entropy(logits, batch.labels) + penalty).backward()
    expected = linears_named(our_names(case["grads_total"], A2Q_NAMES))
    assert expected.keys() == dict(model.named_parameters()).keys()
    for name, parameter in model.named_parameters():
        largest = float(expected[name].abs().max())
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-5, atol=1e-5 * largest)
    logits, memory = model.eval().logits_and_memory(batch)
    torch.testing.assert_close(logits.log_softmax(1), case["eval_output_after_one_train_forward"], rtol=0, atol=1e-5)
    torch.testing.assert_close(memory, case["eval_bit_sum"][0])


def linears_named(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The reference's linear layer holds its weight and bias itself, ours in a layer of its own."""
    return {
        f"{'.'.join(parts[:-1])}.linear.{parts[-1]}"
        if len(parts := name.split(".")) > 1 and parts[-2] in ("lin1", "lin2")
        else name: tensor
        for name, tensor in state.items()
    }


@pytest.mark.parametrize("percentile", [None, 0.01])
@pytest.mark.parametrize("straight_through", [True, False])
@pytest.mark.parametrize("degree_quant", [True, False])
def test_every_parameter_of_the_quantized_gin_learns(
    percentile: float | None, straight_through: bool, degree_quant: bool
) -> None:
    task = random_task()
    quantizer = partial(PlainQuantizer, 8, straight_through, None, percentile)
    settings = GinSettings.for_task(task)
    assert_that_all_learn(PlainQuantizedGin(settings, quantizer, degree_quant=degree_quant, protection=(0.1, 0.2)))


def test_every_parameter_of_the_a2q_gin_learns() -> None:
    assert_that_all_learn(PlainA2qGin(GinSettings.for_task(random_task()), groups=50))


def assert_that_all_learn(model: PlainQuantizedGin | PlainA2qGin) -> None:
    next(model.losses(random_task(), None, 32)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any() or name.endswith("bits"), name


def test_gradients_are_zero_on_and_beyond_the_ends_of_the_grid() -> None:
    values = torch.tensor([-3.0, -1.0, -0.9, 0.0, 1.9, 2.0, 5.0])
    for straight_through, expected in ((True, [1.0] * 7), (False, [0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0])):
        quantizer = PlainQuantizer(8, straight_through, None, None)
        quantizer(values[1:6])
        inputs = values.clone().requires_grad_()
        quantizer.eval()(inputs).sum().backward()
        assert inputs.grad is not None
        assert inputs.grad.tolist() == expected


def test_percentiles_are_elements_of_rounded_down_rank() -> None:
    quantizer = PlainQuantizer(8, True, None, 0.01)
    quantizer(torch.arange(1.0, 251.0).flip(0))
    assert (float(quantizer.minimum), float(quantizer.maximum)) == (2.0, 247.0)
    quantizer = PlainQuantizer(8, True, None, 0.01)
    quantizer(torch.tensor([4.0]))
    assert (float(quantizer.minimum), float(quantizer.maximum)) == (4.0, 4.0)


def test_momentum_moves_the_range_a_share_of_the_way() -> None:
    quantizer = PlainQuantizer(8, True, 0.01, None)
    quantizer(torch.tensor([-1.0, 1.0]))
    quantizer(torch.tensor([-2.0, 0.0]))
    assert float(quantizer.minimum) == pytest.approx(-1.01)
    assert float(quantizer.maximum) == pytest.approx(0.99)


def test_protection_grows_with_the_rank_of_the_in_degree_within_the_graph() -> None:
    batch = batch_of([5, 1, 7])
    probability = protection_probability(batch, 0.1, 0.3)
    for first, end in zip(batch.node_pointer[:-1].tolist(), batch.node_pointer[1:].tolist(), strict=True):
        degree = torch.tensor([int((batch.edge_index[1] == node).sum()) for node in range(first, end)])
        share = (degree[:, None] >= degree).double().mean(1).float()
        torch.testing.assert_close(probability[first:end], 0.1 + 0.2 * share)


def test_protected_nodes_are_not_quantized() -> None:
    batch = batch_of([6, 3, 4])
    quantizer = partial(PlainQuantizer, 4, True, None, None)
    model = PlainQuantizedGin(GinSettings(4, 2, layers=1), quantizer, degree_quant=True, protection=(0.5, 0.5))
    convolution = model.convs[0]
    convolution.nn = nn.Identity()
    protected = torch.arange(13) % 2 == 0
    updates = convolution(batch.features, batch.edge_index, protected)
    assert len(updates[protected].unique()) > len(updates[~protected].unique()) <= 16
    assert not torch.equal(model.draw_protected(batch), model.draw_protected(batch))

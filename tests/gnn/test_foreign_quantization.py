"""Models that nobody here wrote: quantized, trained, put on integers, stored as a state and made plain again."""

import copy
import re
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric import nn as pyg

from gnn.compression import (
    A2q,
    CompressionSettings,
    DegreeQuant,
    GlobalMagnitude,
    Hybrid,
    PostTraining,
    Qat,
    TrainingContext,
    check,
    compress,
)
from gnn.compression.degree_quant import DrawBeforePass
from gnn.compression.quantized_bits import measured_bits
from gnn.determinism import deterministic
from gnn.errors import SettingError
from gnn.models import GraphModel, build_model_for
from gnn.quantization.agreement import Agreement
from gnn.quantization.degree_protection import DegreeProtection
from gnn.quantization.description import Quantization, empty_integer_model
from gnn.quantization.integer_model import plain_model, untouched_layers
from gnn.quantization.quantized_model import weights_in_fp32
from gnn.testing.model_checks import subject_of
from gnn.testing.service_checks import require_compiled, require_from_file
from tests.gnn.foreign_models import CLASSES, FEATURES, FOREIGN_MODELS, foreign_model
from tests.gnn.toy_quantization import integer_model, task_for, tasks_of_every_kind, toy_context

DESCRIPTIONS = {
    "range-8": Quantization("range", 8),
    "range-4": Quantization("range", 4),
    "node-group": Quantization("node-group", 4, groups=30),
}
Arguments = tuple[Tensor, ...]


def trained(model: Any, example: Arguments, quantization: Quantization) -> Any:  # noqa: ANN401
    """A quantized copy after a few steps of somebody's own loop."""
    with deterministic(0):
        simulated = quantization.apply(copy.deepcopy(model)).train()
        optimizer = torch.optim.Adam(simulated.parameters(), lr=0.01)
        for _ in range(4):
            logits = simulated(*example)
            optimizer.zero_grad()
            functional.cross_entropy(logits, torch.arange(len(logits)) % CLASSES).backward()
            optimizer.step()
    return simulated.eval()


@torch.no_grad()
def answers(model: nn.Module, example: Arguments) -> Tensor:
    return model(*example)


def require_equal(integer: nn.Module, simulated: nn.Module, example: Arguments) -> None:
    """As for our own models: now and then a number half-way between two steps goes the other way."""
    found = Agreement.of(answers(integer, example), answers(simulated, example))
    assert found.classes >= 0.9
    assert found.largest_difference <= 0.05 * found.largest_logit


def require_whole(integer: Any, built: nn.Module, example: Arguments) -> None:  # noqa: ANN401
    """A state makes the model again, and both make the same plain one, of the layers and shapes that were built."""
    empty = empty_integer_model(copy.deepcopy(built), Quantization(**integer.quantization.mapping()))
    empty.load_state_dict(integer.state_dict())
    assert torch.equal(answers(empty.eval(), example), answers(integer, example))
    plain, again = plain_model(integer), plain_model(empty)
    assert [type(module) for module in plain.modules()] == [type(module) for module in built.modules()]
    shapes = [{name: tensor.shape for name, tensor in each.state_dict().items()} for each in (plain, again, built)]
    assert shapes[0] == shapes[1] == shapes[2]
    assert torch.equal(answers(plain, example), answers(again, example))


def require_listed(integer: nn.Module, untouched: Any) -> None:  # noqa: ANN401
    assert untouched.keys() >= {name.rpartition(".")[0] for name in weights_in_fp32(integer)}


# Fewer bits are packed otherwise, and groups of nodes ask for their degrees at every type of convolution.
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((name, "range-8") for name in FOREIGN_MODELS),
        *((name, "range-4") for name in ("gcn-jk-cat", "gat-v2", "own")),
        *(
            (name, "node-group")
            for name in ("gcn", "gin", "sage", "gat-jk-cat", "pna", "edge-cnn", "jumping-gin", "own")
        ),
    ],
)
def test_after_training_integers_say_what_the_simulation_says(name: str, kind: str) -> None:
    model, example = foreign_model(name)
    quantization = DESCRIPTIONS[kind]
    simulated = trained(model, example, quantization)
    integer = quantization.to_integers(simulated)
    require_equal(integer, simulated, example)
    require_whole(integer, foreign_model(name, seed=1)[0], example)
    require_listed(integer, untouched_layers(integer))
    if kind == "range-8":
        subject = subject_of(model, example)
        require_from_file(integer, foreign_model(name, seed=1)[0], subject)
        require_compiled(integer, subject)


@pytest.mark.parametrize("name", FOREIGN_MODELS)
def test_after_calibration_weights_are_near_those_of_the_model(name: str) -> None:
    model, example = foreign_model(name)
    compressed = compress(model, PostTraining(8), example=example)
    require_whole(compressed.model, model, example)
    exact, plain = answers(model, example), answers(plain_model(compressed.model), example)
    assert 0 < float((plain - exact).abs().max()) < 0.1 * float(exact.abs().max())


@pytest.mark.parametrize("aggregation", ["add", "mean", "max", "min", "std", "softmax", ["mean", "max"]])
def test_messages_are_whole_numbers_where_the_aggregation_allows_it(aggregation: Any) -> None:  # noqa: ANN401
    _, (x, edge_index) = foreign_model("gcn")
    model = pyg.SAGEConv(FEATURES, CLASSES, aggr=aggregation)
    quantization = DESCRIPTIONS["range-4"]
    integer = quantization.to_integers(trained(model, (x, edge_index), quantization))
    seen: list[Tensor] = []
    cast(Any, integer).register_message_forward_hook(lambda _layer, _inputs, messages: seen.append(messages))
    answers(integer, (x, edge_index))
    whole = aggregation in ("add", "mean", "max", "min")
    assert torch.equal(seen[0], seen[0].round()) == whole
    name = f"{'multi' if isinstance(aggregation, list) else aggregation}".title()
    reason = f"{name}Aggregation needs messages in FP32, where they stay fake-quantized"
    assert untouched_layers(integer) == ({} if whole else {"": reason})


class Odd(nn.Module):
    """A layer that nobody calls, one whose weight others read as well, and two without a rule."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.unused = nn.Linear(FEATURES, 8), nn.Linear(8, 8)
        self.attention, self.mix = nn.MultiheadAttention(8, 2), nn.Bilinear(8, 8, 8)
        self.last = pyg.GATConv(8, CLASSES, heads=2, concat=False)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Logits of nodes."""
        hidden = self.first(x[None])[0] + functional.linear(x, self.first.weight)
        hidden = self.mix(hidden, hidden) + self.attention(hidden, hidden, hidden)[0]
        return self.last(hidden, edge_index, return_attention_weights=True)[0]


def test_what_stays_in_fp32_is_listed_with_its_reason() -> None:
    _, example = foreign_model("gcn")
    with deterministic(0):
        model = Odd()
    compressed = compress(model, PostTraining(8), example=example)
    require_equal(compressed.model, compressed.simulated, example)
    require_whole(compressed.model, model, example)
    assert set(compressed.quantized) == {"first.weight", "last.lin.weight"}
    idle = "no integer product takes weight, which stays in FP32: nothing quantized came in while ranges were learned"
    assert compressed.untouched == {
        "unused": idle,
        "attention": "MultiheadAttention has no rule of quantized; add one with "
        "@gnn.layers.rules.quantized.register(MultiheadAttention)",
        "attention.out_proj": idle,
        "mix": "Bilinear has no rule of quantized; add one with @gnn.layers.rules.quantized.register(Bilinear)",
        "last": "no integer product takes att_src and att_dst, which stay in FP32",
    }


def test_attention_keeps_its_quantized_values_and_counts_in_full() -> None:
    tasks = tasks_of_every_kind()
    task, quantization = task_for("supergat-readout", tasks), Quantization("range", 4)
    integer = integer_model("supergat-readout", quantization, task)
    in_fp32 = weights_in_fp32(integer)
    assert in_fp32
    for name in in_fp32:
        assert 2 < len(integer.get_parameter(name).unique()) <= 16 < integer.get_parameter(name).numel()
    plain = plain_model(integer)
    matrices = {name: weight.numel() for name, weight in plain.named_parameters() if weight.dim() >= 2}
    others = sum(weight.numel() for weight in plain.parameters()) - sum(matrices.values())
    kept = sum(matrices[name] for name in in_fp32)
    bits = 4 * (sum(matrices.values()) - kept) + 32 * (kept + others)
    assert measured_bits(integer, plain, task).weights == pytest.approx(bits / (sum(matrices.values()) + others))


@pytest.mark.parametrize("kind", DESCRIPTIONS)
def test_a_model_may_be_narrower_than_its_class_builds(kind: str) -> None:
    _, (x, _) = foreign_model("gcn")
    with deterministic(0):
        model: Any = nn.Sequential(nn.Linear(FEATURES, 12), nn.ReLU(), pyg.Linear(12, CLASSES))
    for layer, kept in ((model[0], (slice(5),)), (model[2], (slice(None), slice(5)))):
        layer.weight = nn.Parameter(layer.weight.detach()[kept].clone())
    model[0].bias = nn.Parameter(model[0].bias.detach()[:5])
    integer = DESCRIPTIONS[kind].to_integers(trained(model, (x,), DESCRIPTIONS[kind]))
    require_whole(integer, model, (x,))
    assert plain_model(integer)[0].weight.shape == (5, FEATURES)
    assert all(tensor.is_meta for tensor in integer.plain_structure.state_dict().values())


def test_degrees_protect_the_nodes_of_any_graph() -> None:
    model, example = foreign_model("gat")
    protection = DegreeProtection(1.0, 1.0)
    simulated = Quantization("range", 2).apply(model, protection=protection).train()
    simulated.register_forward_pre_hook(DrawBeforePass(protection), with_kwargs=True)
    simulated(*example)
    assert protection.rows(len(example[0])).tolist() == list(range(len(example[0])))


class Words(GraphModel):
    """Nothing that could be quantized."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(4, 4)


WORDS = "nothing of Words can be quantized: layer 'words' stays in FP32, as Embedding has no rule of quantized"
REFUSED: dict[str, tuple[CompressionSettings, str, str]] = {
    "degrees": (DegreeQuant(8), "walkpooling", "WalkPooling cuts out a graph for every pair"),
    **{
        settings.method: (settings, "", WORDS)
        for settings in (Qat(8), DegreeQuant(8), A2q(), PostTraining(8), Hybrid(GlobalMagnitude(0.5)))
    },
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_case_that_cannot_work_is_refused_before_anything_is_trained(case: str, tmp_path: Path) -> None:
    settings, name, sentence = REFUSED[case]
    task = task_for(name or "gnnnet", tasks_of_every_kind())
    training = toy_context(name or "gnnnet", task, tmp_path)
    model = build_model_for(name, task) if name else Words()
    context = TrainingContext(**{**vars(training), "remember": lambda *_: pytest.fail("something was trained")})
    for ask in (check, compress):
        with pytest.raises(SettingError, match=f"^{re.escape(sentence)}"):
            ask(model, settings, context)
    check(training.initial() if not name else build_model_for(name, task), PostTraining(8), context)

"""A quantized case has to have integers for every weight, say what its simulation says, and stay sparse."""

from dataclasses import replace

import pytest

from bench.findings import equal_to_simulation, really_quantized, still_sparse
from fixtures.artifacts import CaseRuns
from fixtures.findings import FAIL, PASS
from gnn.case import Case
from gnn.compression import CompressionSettings, GlobalMagnitude, Hybrid, LayerAdaptive, PostTraining
from gnn.models import GraphModel, build_model
from gnn.quantization.agreement import Agreement
from gnn.quantization.description import Quantization
from gnn.trial import BaseModel
from tests.fixtures.conftest import made_up_run, small_task

EQUAL = Agreement(classes=1.0, identical=1.0, largest_difference=0.0, largest_logit=1.0)


def gnnnet() -> GraphModel:
    return build_model("gnnnet", {"in_channels": 4, "out_channels": 2, "hidden_channels": 8})


def on_integers(model: GraphModel) -> GraphModel:
    """The model on integers, its inputs calibrated over made-up ranges."""
    quantization = Quantization("channel", 8)
    quantization.apply(model)
    for name, buffer in model.named_buffers():
        if name.endswith(("minimum", "maximum")):
            buffer.fill_(-1.0 if name.endswith("minimum") else 1.0)
    return quantization.to_integers(model)


def runs_of(
    model: GraphModel,
    settings: CompressionSettings | None = None,
    agreement: Agreement | None = EQUAL,
    compressed_tensors: int = 4,
    sparsity: float = 0.1,
) -> CaseRuns:
    """One seed of a case."""
    run = replace(
        made_up_run(3, 0.9, 0.9, model),
        compressed_tensors=compressed_tensors,
        agreement=agreement,
        sparsity=sparsity,
        layer_sparsity={"mlps.0.weight": sparsity},
    )
    case = Case("bbbp", "gnnnet", settings or PostTraining(8))
    return CaseRuns(case, small_task(), (run,), BaseModel(gnnnet(), 1.0, 1, 2, truncated=False))


def test_a_model_whose_weights_are_all_codes_is_fine() -> None:
    assert [finding.status for finding in really_quantized(runs_of(on_integers(gnnnet())))] == [PASS]


def test_weights_that_slipped_through_are_named() -> None:
    (finding,) = really_quantized(runs_of(gnnnet()))
    assert finding.status == FAIL
    assert "0 weights are in fewer bits, expected were 4" in finding.sentence
    assert "mlps.0.weight" in finding.sentence
    assert "seed 3" in finding.sentence


def test_tensors_that_were_not_counted_fail() -> None:
    (finding,) = really_quantized(runs_of(on_integers(gnnnet()), compressed_tensors=3))
    assert finding.status == FAIL
    assert "only 3 were counted" in finding.sentence


def test_integers_have_to_say_what_the_simulation_says() -> None:
    model = on_integers(gnnnet())
    assert [finding.status for finding in equal_to_simulation(runs_of(model))] == [PASS]
    (finding,) = equal_to_simulation(runs_of(model, agreement=replace(EQUAL, classes=0.99)))
    assert finding.status == FAIL
    assert "0.9900 of the classes on integers are those of the simulation" in finding.sentence
    (finding,) = equal_to_simulation(runs_of(model, agreement=None))
    assert (finding.status, "nothing says" in finding.sentence) == (FAIL, True)


@pytest.mark.parametrize("pruning", [GlobalMagnitude(0.8), LayerAdaptive(0.8)])
def test_removed_weights_have_to_stay_removed(pruning: GlobalMagnitude | LayerAdaptive) -> None:
    (finding,) = still_sparse(runs_of(on_integers(gnnnet()), Hybrid(pruning)))
    assert finding.status == FAIL
    assert "0.8 at least was asked for" in finding.sentence


def test_a_sparse_model_is_fine() -> None:
    runs = runs_of(on_integers(gnnnet()), Hybrid(GlobalMagnitude(0.8)), sparsity=0.9)
    assert [finding.status for finding in still_sparse(runs)] == [PASS]

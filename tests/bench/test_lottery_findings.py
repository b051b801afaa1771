"""Tickets and regularized models are red when they are not as sparse as they have to be."""

from collections.abc import Iterable
from dataclasses import replace

from bench.findings import achieved_if_asked, masks_as_asked
from fixtures.findings import FAIL, PASS, Finding
from gnn.case import Case
from gnn.compression import L2, GlobalMagnitude, LotteryTicket, compress, sparsity_of
from gnn.determinism import deterministic
from gnn.models import build_model_for
from gnn.trial import Run
from tests.fixtures.conftest import made_up_run, small_task

TICKET = Case("cora-node", "spline", LotteryTicket(0.8, "early"))


def pruned_run(sparsity: float) -> Run:
    """The run of a model that was pruned to a sparsity."""
    with deterministic(seed=0):
        model = build_model_for("spline", small_task())
    compressed = compress(model, GlobalMagnitude(sparsity))
    model, masks = compressed.model, compressed.masks
    total, layers = sparsity_of(model)
    share = {name: 1 - int(mask.sum()) / mask.numel() for name, mask in masks.kept.items()}
    return replace(made_up_run(0, 0.9, 0.9, model), sparsity=total, layer_sparsity=layers, masked_share=share)


def failures(findings: Iterable[Finding]) -> list[str]:
    return [finding.sentence for finding in findings if finding.status != PASS]


def test_a_ticket_that_is_as_sparse_as_asked_is_fine() -> None:
    findings = list(masks_as_asked(TICKET, pruned_run(0.8)))
    assert findings
    assert failures(findings) == []


def test_a_ticket_with_one_weight_too_many_fails() -> None:
    run = pruned_run(0.8)
    count = run.model.get_parameter("conv1.weight").numel()
    share = {**run.masked_share, "conv1.weight": run.masked_share["conv1.weight"] - 1 / count}
    weights = sum(run.model.get_parameter(name).numel() for name in run.layer_sparsity)
    asked = round(0.8 * weights)
    # One weight is also what the layer's share may be off by, so that rounding decides whether it has a finding too.
    assert (
        f"{TICKET.id}: the masks remove {asked - 1} weights, every start at this sparsity removes {asked} (seed 0)"
    ) in failures(masks_as_asked(TICKET, replace(run, masked_share=share)))


def test_a_ticket_of_another_sparsity_fails_in_its_file_too() -> None:
    sentences = failures(masks_as_asked(TICKET, pruned_run(0.5)))
    assert any("sparsity is 0.5, asked was 0.8" in sentence for sentence in sentences)
    assert any("the masks remove" in sentence for sentence in sentences)


def test_regularization_alone_need_not_remove_anything() -> None:
    with deterministic(seed=0):
        model = build_model_for("spline", small_task())
    dense = replace(made_up_run(0, 0.9, 0.9, model), sparsity=0.0, layer_sparsity=sparsity_of(model)[1])
    assert achieved_if_asked(Case("cora-node", "spline", L2(1e-3)), dense) == []


def test_pruning_after_regularization_removes_what_was_asked() -> None:
    case = Case("cora-node", "spline", L2(1e-3, 0.5))
    assert failures(achieved_if_asked(case, pruned_run(0.5))) == []
    findings = achieved_if_asked(case, pruned_run(0.9))
    assert FAIL in {finding.status for finding in findings}

"""What only the method of a case promises, checked run by run: findings for the gate."""

from collections.abc import Callable, Iterable, Iterator
from statistics import fmean

import numpy as np
from torch import nn

from fixtures.artifacts import CaseRuns
from fixtures.findings import FAIL, PASS, Finding
from fixtures.gate import Check
from gnn import storage
from gnn.case import Case
from gnn.compression import FineGrained, GlobalMagnitude, LayerAdaptive, Sensitivity, prunable_parameters
from gnn.compression.sensitivity import ROUNDING
from gnn.determinism import deterministic
from gnn.leftovers import temporary_folder
from gnn.models import MODELS, on_task
from gnn.quantization.bfloat16 import bfloat16_weights
from gnn.quantization.description import in_bfloat16
from gnn.quantization.integer_model import integer_weights
from gnn.tensor_bytes import tensor_bytes
from gnn.training import validate
from gnn.trial import Run

# No channel that fits back is left out, and in every model the smallest channel is a smaller share than this.
STRUCTURED_TOLERANCE = 0.01
# A number half-way between two steps goes either way by the rounding of the simulation's FP32 sums, and with it now and
# then the class of a test graph. One of 112 is more than half a percent, so all seeds' graphs are taken together.
LEAST_AGREEMENT = 0.995


def of_every_run(check: Callable[[Case, Run], Iterable[Finding]]) -> Check:
    """A check of one run as one of all runs of a case."""
    return lambda runs: (finding for run in runs.runs for finding in check(runs.case, run))


def truncated(case: Case, run: Run) -> Iterator[Finding]:
    """Whether a seed's best epoch is among the last that its budget allowed, so that a longer one might be better."""
    if run.truncated:
        sentence = f"the best of {run.epochs} epochs is number {run.best_epoch}; raise most_epochs of its recipe"
        yield Finding(FAIL, f"{case.id}: {sentence} (seed {run.seed})")


def achieved_sparsity(case: Case, run: Run) -> Iterator[Finding]:
    """Whether what was asked for was removed, to the weight, and stayed away: in total, and tensor by tensor.

    Of a method that is not asked for a sparsity it is what the masks removed.
    """
    weights = {name: run.model.get_parameter(name).numel() for name in run.layer_sparsity}
    masked = sum(share * weights[name] for name, share in run.masked_share.items()) / sum(weights.values())
    asked = getattr(case.compression, "sparsity", masked)
    # Rounding to whole weights happens once per tensor in fine-grained pruning.
    yield _sparsity(case, run, "sparsity", run.sparsity, asked, len(weights) / sum(weights.values()))
    fine_grained = isinstance(case.compression, FineGrained)
    for name, count in weights.items():
        share = asked if fine_grained else run.masked_share.get(name, 0.0)
        yield _sparsity(case, run, f"layer_sparsity.{name}", run.layer_sparsity[name], share, 1 / count)
    expected = len(weights) if fine_grained else int(not case.dense)
    if run.compressed_tensors < expected:
        sentence = f"compressed_tensors is {run.compressed_tensors}, at least {expected} were expected"
        yield Finding(FAIL, f"{case.id}: {sentence} (seed {run.seed})")


def _sparsity(case: Case, run: Run, metric: str, value: float, asked: float, tolerance: float) -> Finding:
    if abs(value - asked) <= tolerance:
        return Finding(PASS)
    sentence = f"{metric} is {value:.6g}, asked was {asked:.6g}, allowed is a difference of {tolerance:.2g}"
    return Finding(FAIL, f"{case.id}: {sentence} (seed {run.seed})")


def within_budget(runs: CaseRuns) -> Iterator[Finding]:
    """Whether the first seed's model, as it was read back, has the validation score that sensitivity pruning promised.

    Fine-tuning and fewer bits in the file may lower it.
    """
    case, models = runs.case, (runs.base.model, runs.runs[0].model)
    if not isinstance(case.compression, Sensitivity) or case.fine_tune or case.precision != "fp32":
        return
    with deterministic(seed=0):
        dense, pruned = (validate(model, runs.task, on_task(model, runs.task).prepare(runs.task)) for model in models)
    drop, allowed = dense.score - pruned.score, case.compression.max_drop
    if drop <= allowed + ROUNDING:
        yield Finding(PASS)
    else:
        sentence = f"the validation score is {drop:.6g} below that of the dense model, allowed is {allowed:g}"
        yield Finding(FAIL, f"{case.id}: {sentence} (seed {runs.runs[0].seed})")


def achieved_if_asked(case: Case, run: Run) -> list[Finding]:
    """Whether pruning after regularization removed what was asked; L2 alone need not make a single exact zero."""
    return list(achieved_sparsity(case, run)) if case.compression.compresses else []


def masks_as_asked(case: Case, run: Run) -> Iterator[Finding]:
    """Whether the file is as sparse as asked, and the masks to the weight, so that all starts can be compared."""
    yield from achieved_sparsity(case, run)
    weights = {name: run.model.get_parameter(name).numel() for name in run.layer_sparsity}
    removed = sum(round(run.masked_share.get(name, 0.0) * count) for name, count in weights.items())
    asked = round(getattr(case.compression, "sparsity", 0.0) * sum(weights.values()))
    if removed == asked:
        yield Finding(PASS)
    else:
        sentence = f"the masks remove {removed} weights, every start at this sparsity removes {asked}"
        yield Finding(FAIL, f"{case.id}: {sentence} (seed {run.seed})")


def really_shrunk(runs: CaseRuns) -> Iterator[Finding]:
    """Whether the matrices themselves lost the share that was asked for: a zero in a matrix counts as a weight."""
    case, dense = runs.case, _prunable_weights(runs.base.model)
    asked = 1 - getattr(case.compression, "sparsity", 0.0)
    for run in runs.runs:
        left = _prunable_weights(run.model) / dense
        # Whole weights, so that half of one may be left over.
        if not asked - STRUCTURED_TOLERANCE <= left <= asked + 0.5 / dense:
            sentence = f"remaining weights are {left:.6g} of the dense model's, {asked:.6g} at most were asked for"
            allowed = f"allowed is {STRUCTURED_TOLERANCE:.2g} less"
            yield Finding(FAIL, f"{case.id}: {sentence}, {allowed} (seed {run.seed})")
        if run.compressed_tensors == 0 or run.masked_share:
            sentence = f"{run.compressed_tensors} tensors shrank and {len(run.masked_share)} have a mask"
            yield Finding(FAIL, f"{case.id}: {sentence}; some have to shrink, and no mask is left (seed {run.seed})")


def _prunable_weights(model: nn.Module) -> int:
    return sum(getattr(module, name).numel() for _, module, name in prunable_parameters(model))


def really_quantized(runs: CaseRuns) -> Iterator[Finding]:
    """Whether every weight is in fewer bits but those of the layers that stay in FP32: none slipped through."""
    case = runs.case
    kept = () if case.compression.method in ("post-training", "bf16") else MODELS[case.model].fp32_layers
    for run in runs.runs:
        expected = {
            name for name, _, _ in prunable_parameters(run.plain) if not name.startswith(tuple(f"{k}." for k in kept))
        }
        found = {*integer_weights(run.model), *bfloat16_weights(run.model)}
        if found != expected or run.compressed_tensors < len(expected):
            sentence = f"{len(found)} weights are in fewer bits, expected were {len(expected)}"
            missing = ", ".join(sorted(expected ^ found)) or f"only {run.compressed_tensors} were counted"
            yield Finding(FAIL, f"{case.id}: {sentence} ({missing}; seed {run.seed})")
        else:
            yield Finding(PASS)


def equal_to_simulation(runs: CaseRuns) -> Iterator[Finding]:
    """Whether the model on integers gives the classes that the fake-quantized one gives, over all seeds' test parts.

    One in bfloat16 is what it is: the runtime, not the model, has other instructions.
    """
    if in_bfloat16(runs.runs[0].model):
        return
    found = [run.agreement for run in runs.runs if run.agreement is not None]
    if len(found) < len(runs.runs):
        yield Finding(FAIL, f"{runs.case.id}: nothing says that integers equal the simulation")
        return
    classes = fmean(agreement.classes for agreement in found)
    if classes < LEAST_AGREEMENT:
        sentence = f"{classes:.4f} of the classes on integers are those of the simulation"
        yield Finding(FAIL, f"{runs.case.id}: {sentence}, allowed is {LEAST_AGREEMENT} (mean of {len(found)} seeds)")
    else:
        yield Finding(PASS)


def still_sparse(runs: CaseRuns) -> Iterator[Finding]:
    """Whether what was removed stays away: integers may round more weights to zero, but never bring one back."""
    pruning = getattr(runs.case.compression, "pruning", None)
    if not isinstance(pruning, GlobalMagnitude | LayerAdaptive):
        return
    for run in runs.runs:
        weights = sum(run.plain.get_parameter(name).numel() for name in run.layer_sparsity)
        # Rounding to whole weights happens once.
        if run.sparsity >= pruning.sparsity - 0.5 / weights:
            yield Finding(PASS)
        else:
            sentence = f"sparsity is {run.sparsity:.6g}, {pruning.sparsity:g} at least was asked for"
            yield Finding(FAIL, f"{runs.case.id}: {sentence} (seed {run.seed})")


def file_as_reported(case: Case, run: Run) -> Iterator[Finding]:
    """Whether the reported model, written again, has the reported bytes and gives the same model back."""
    with temporary_folder() as folder:
        path = folder / "model"
        size_bytes = storage.save(run.model, path, model_name=case.model, task=case.task, precision=case.precision)
        restored = storage.load(path).model.state_dict()
    if size_bytes != run.size_bytes.encoded:
        sentence = f"the reported model's file has {size_bytes} bytes, {run.size_bytes.encoded} are reported"
        yield Finding(FAIL, f"{case.id}: {sentence} (seed {run.seed})")
    for name, tensor in run.model.state_dict().items():
        if not np.array_equal(tensor_bytes(tensor), tensor_bytes(restored[name])):
            yield Finding(FAIL, f"{case.id}: the file does not hold the reported {name} (seed {run.seed})")

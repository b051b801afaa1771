"""What a model owes to the services of this library: files, kernels, narrower and quantized forms, other devices."""

import copy
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import SkipTest

import torch
from torch import Tensor, nn

from gnn import storage
from gnn.compression import Compressed, PostTraining, compress, prunable_parameters
from gnn.compression.channel_trace import trace_channels
from gnn.compression.context import Context
from gnn.compression.narrowing import narrow_model, silenced
from gnn.errors import GnnError
from gnn.models import GraphModel
from gnn.quantization.agreement import Agreement
from gnn.quantization.description import in_bfloat16
from gnn.quantization.quantized_model import within
from gnn.runtime import compile  # noqa: A004
from gnn.storage.container import read_container
from gnn.testing.checks import ABSOLUTE, RELATIVE, require, require_close, require_equal, said
from gnn.testing.example import Example
from gnn.testing.graph_checks import Subject

# Of the largest output, for a model on 8-bit integers and what it simulates.
INTEGER_DIFFERENCE = 0.05
OTHER_ARITHMETIC = 1e-3
OTHER_ROUNDING = 1e-2


def complete_state(subject: Subject) -> None:
    """Every tensor that outputs depend on is a parameter or a buffer."""
    model, expected = subject.fresh(), subject.expected
    state = model.state_dict()
    for name, _ in model.named_parameters():
        require(name in state, f"parameter {name!r} is not in state_dict()")
    for path, layer in model.named_modules():
        for name, value in vars(layer).items():
            if name in ("_parameters", "_buffers", "_modules"):
                continue
            for tensor in _plain_tensors(value):
                place = f"{path}.{name}".lstrip(".")
                require(
                    not isinstance(tensor, nn.Parameter), f"{place!r} holds a parameter that state_dict() leaves out"
                )
                with torch.no_grad():
                    tensor.add_(1.0)
                same = torch.equal(subject.outputs(model), expected)
                require(same, f"outputs depend on {place!r}, a tensor outside of state_dict(); register it as a buffer")


def save_and_load(subject: Subject) -> None:
    """A model comes back from its file to the bit, into one that was built with other numbers."""
    require_from_file(subject.fresh(), subject.fresh(), subject)


@torch.no_grad()
def require_from_file(model: nn.Module, built: nn.Module, subject: Subject) -> None:
    """Whether a model comes back to the bit from its file, into what a user builds."""
    for tensor in (*built.parameters(), *built.buffers()):
        tensor.fill_(1)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        storage.save(model, path)
        # The file of a registered model has its settings, and needs nobody to build it.
        registered = read_container(path)[0].settings is not None
        loaded: nn.Module = storage.load(path).model if registered else storage.load(path, build=lambda: built).model
    state = model.state_dict()
    for name, tensor in loaded.state_dict().items():
        require(name in state, f"{name!r} came from the file, and the model does not have it")
        require_equal(tensor, state[name], f"{name!r} came from the file as something else")
    expected = subject.outputs(model.eval())
    require_equal(subject.outputs(loaded), expected, "outputs are not those before the model was saved")


def compiled(subject: Subject) -> None:
    """The compiled model gives what the model gives, on odd graphs as well, fused or not."""
    require_compiled(subject.fresh(), subject)


def require_compiled(model: nn.Module, subject: Subject) -> None:
    """Whether a model in evaluation mode, compiled, gives what it gives; bfloat16 up to a rounding here and there."""
    within = (OTHER_ROUNDING, OTHER_ROUNDING) if in_bfloat16(model) else (RELATIVE, ABSOLUTE)
    expected = [(what, example, subject.outputs(model, example)) for what, example in _runnable(subject, model)]
    first = expected[0]
    plain, fused = compile(model), None
    with suppress(SkipTest):
        fused = compile(model, subject.arguments(model))
    # The first example comes again, after other graphs.
    forms = [(fused or plain, [*expected, first]), (plain, [first]), (copy.deepcopy(fused or plain), [first])]
    for form, calls in forms:
        for what, example, outputs in calls:
            found = subject.outputs(form, example)
            require_close(found, outputs, f"the compiled model gives something else {what}".rstrip(), *within)


def narrowed(subject: Subject) -> None:
    """The model without every other channel gives what it gives with zeros in their place, on other graphs as well."""
    model = subject.fresh()
    run = Context(example=subject.arguments(model)).run
    try:
        traced = trace_channels(model, run, prepares=False)
        if not traced.groups:
            raise SkipTest(
                "no channel can be removed: " + ("; ".join(traced.untouched.values()) or "there are none inside")
            )
        kept = [torch.arange(group.channels) % 2 == 0 for group in traced.groups]
        wide = silenced(model, traced, kept)
        narrow_model(model, traced, kept, run)
    except GnnError as error:
        raise SkipTest(str(error)) from error
    if not traced.exact:
        raise SkipTest("fewer channels are something else than zeros, to a norm over channels or a choice among nodes")
    for what, example in _runnable(subject, wide):
        require_close(
            subject.outputs(model, example),
            subject.outputs(wide, example),
            f"without every other channel the model gives something else {what}".rstrip(),
            OTHER_ARITHMETIC,
        )


def quantized(subject: Subject) -> None:
    """After training, every weight becomes a code or its layer says why not; integers give what they simulate."""
    model = subject.fresh()
    try:
        found = compress(model, PostTraining(8), example=subject.arguments(model))
    except GnnError as error:
        raise SkipTest(str(error)) from error
    require_accounted(model, found)
    require_integers(found, subject)


def require_accounted(model: nn.Module, found: Compressed) -> None:
    """Whether each weight is a code, or in a layer that was left with a reason."""
    for name in {name for name, _, _ in prunable_parameters(model)} - set(found.quantized):
        layer = name.rpartition(".")[0]
        require(within(layer, found.untouched), f"weight {name!r} is neither a code nor in a layer left with a reason")
    for layer, reason in found.untouched.items():
        require(reason, f"layer {layer!r} was left without a reason")


def require_integers(found: Compressed, subject: Subject) -> None:
    """Whether a model on integers gives what its simulation gives."""
    simulated = subject.outputs(found.simulated)
    if not simulated.isfinite().all():
        raise SkipTest("outputs are not all finite")
    agreement = Agreement.of(subject.outputs(found.model), simulated)
    require(
        agreement.largest_difference <= INTEGER_DIFFERENCE * agreement.largest_logit,
        f"on integers an output differs by {agreement.largest_difference:.2g} from its simulation, where the largest "
        f"is {agreement.largest_logit:.2g}",
    )


def double_precision(subject: Subject) -> None:
    """The model runs in double precision, and gives the same."""
    if isinstance(subject.model, GraphModel):
        raise SkipTest("models of gnn.models make their inputs in FP32")
    example = subject.example.converted(lambda tensor: tensor.double() if tensor.is_floating_point() else tensor)
    found = subject.outputs(subject.fresh().double(), example)
    require_close(found, subject.expected, "outputs in double precision are others", OTHER_ARITHMETIC)


def other_device(subject: Subject) -> None:
    """The model moves to a CUDA device and gives the same; where there is none, it runs on shapes alone (meta)."""
    device = "cuda" if torch.cuda.is_available() else "meta"
    try:
        example = subject.example.converted(lambda tensor: tensor.to(device))
        found = subject.outputs(subject.fresh().to(device), example)
    except Exception as error:
        if device == "cuda" or "same device" in str(error) or "expected device" in str(error):
            raise
        raise SkipTest(f"no CUDA device, and without one the pass needs numbers ({said(error)})") from error
    if device == "meta":
        require(found.shape == subject.expected.shape, "outputs on device meta have another shape")
    else:
        require_close(found, subject.expected, "outputs on a CUDA device are others", OTHER_ARITHMETIC)


def _plain_tensors(value: Any) -> Iterator[Tensor]:  # noqa: ANN401
    if isinstance(value, Tensor) and (value.is_floating_point() or isinstance(value, nn.Parameter)):
        yield value
    elif isinstance(value, list | tuple | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _plain_tensors(part)


def _runnable(subject: Subject, model: nn.Module) -> Iterator[tuple[str, Example]]:
    """The example and the odd ones on which a model runs at all."""
    for what, example in (("", subject.example), *subject.odd_examples()):
        try:
            subject.outputs(model, example)
        except Exception:
            if not what:
                raise
            continue
        yield what, example


SERVICE_CHECKS = {
    "complete-state": complete_state,
    "save-and-load": save_and_load,
    "compiled": compiled,
    "narrowed": narrowed,
    "quantized": quantized,
    "double-precision": double_precision,
    "other-device": other_device,
}

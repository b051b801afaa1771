"""The contract checks of a compression method."""

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property, partial
from typing import Any, Literal, get_args, get_origin, get_type_hints
from unittest import SkipTest

import torch
from torch import Tensor, nn

from gnn.compression import METHODS, Compressed, CompressionSettings, TrainingContext, compress, prunable_parameters
from gnn.determinism import deterministic
from gnn.errors import GnnError, SettingError
from gnn.testing.checks import Check, require, require_equal
from gnn.testing.graph_checks import Subject
from gnn.testing.model_checks import subject_of
from gnn.testing.service_checks import require_accounted, require_compiled, require_from_file, require_integers

Build = Callable[[], tuple[nn.Module, Any]]

# What a method may miss a sparsity by, that rounds for every tensor.
SPARSITY_DIFFERENCE = 0.01


@dataclass(frozen=True, eq=False)
class Compression:
    """A method on one model."""

    settings: CompressionSettings
    build: Build
    training: TrainingContext | None

    @cached_property
    def subject(self) -> Subject:
        """The model before, with its example."""
        return subject_of(*self.build())

    @cached_property
    def first(self) -> tuple[object, dict[str, Tensor], Compressed]:
        """The settings and the tensors before the method was called for the first time, and what it made then."""
        return copy.deepcopy(self.settings), copy.deepcopy(self.given()), self.compress()

    @property
    def found(self) -> Compressed:
        """What the method makes of the model."""
        return self.first[2]

    def given(self) -> dict[str, Tensor]:
        """The tensors of the model and of the example."""
        values = {name: value for name, value in self.subject.example.values.items() if isinstance(value, Tensor)}
        return {**self.subject.model.state_dict(), **values}

    def compress(self, seed: int = 0) -> Compressed:
        """Compress the model anew; a model or a context that the method refuses is none of its business."""
        model = self.subject.model
        try:
            with deterministic(seed):
                example = self.subject.arguments(model) if self.training is None else None
                return compress(model, self.settings, self.training, example=example)
        except GnnError as error:
            raise SkipTest(str(error)) from error


def leaves_its_input(of: Compression) -> None:
    """The model, the example and the settings are afterwards what they were before."""
    settings, before, _ = of.first
    require(of.settings == settings, "the method changed its settings")
    after = of.given()
    require(after.keys() == before.keys(), "the method changed which tensors the model has that it was given")
    for name, tensor in after.items():
        require_equal(tensor, before[name], f"the method changed {name!r} of what it was given")


def deterministic_result(of: Compression) -> None:
    """The same model, settings and training seed give the same to the bit, whatever the caller drew before."""
    first, second = of.found.model.state_dict(), of.compress(seed=1).model.state_dict()
    require(first.keys() == second.keys(), "the method gives other tensors the second time")
    for name, tensor in first.items():
        require_equal(second[name], tensor, f"the method gives another {name!r} the second time")


def compresses(of: Compression) -> None:
    """At least one tensor lost weights or bits, or none where the settings say so; what was left has a reason."""
    count = of.found.compressed_tensors
    said = "compresses" if of.settings.compresses else "does not compress"
    require((count > 0) == of.settings.compresses, f"the method says that it {said}, and {count} tensors are smaller")
    for layer, reason in of.found.untouched.items():
        require(reason, f"layer {layer!r} was left without a reason")


def sparsity_as_asked(of: Compression) -> None:
    """The share of weights that was asked for is gone; where whole channels go, at least that."""
    asked = getattr(of.settings, "sparsity", None)
    if not isinstance(asked, int | float):
        raise SkipTest("the settings ask for no sparsity")
    before = sum(weight.numel() for weight in _weights(of.subject.model))
    left = sum(int(weight.count_nonzero()) for weight in _weights(of.found.model))
    share, whole = 1 - left / before, bool(of.found.shrunk)
    near = share >= asked - SPARSITY_DIFFERENCE and (whole or share <= asked + SPARSITY_DIFFERENCE)
    require(near, f"the settings ask for a sparsity of {asked}, and {share:.3f} of the weights are gone")


def masks_are_zeros(of: Compression) -> None:
    """Where a mask says that a weight is gone, the model has a zero."""
    if not of.found.masks.kept:
        raise SkipTest("the method gives no masks")
    parameters = dict(of.found.model.named_parameters())
    for name, mask in of.found.masks.kept.items():
        require(name in parameters, f"a mask is for {name!r}, which is no parameter of the model")
        fits = mask.dtype == torch.bool and mask.shape == parameters[name].shape
        require(fits, f"the mask of {name!r} is no bool tensor of its shape")
        wrong = int(parameters[name][~mask].count_nonzero())
        require(wrong == 0, f"{wrong} weights of {name!r} are not zero, and its mask says that they are gone")


def runs(of: Compression) -> None:
    """The smaller model gives finite outputs of the shape that the model gave."""
    outputs, expected = of.subject.outputs(of.found.model), of.subject.expected
    require(
        outputs.shape == expected.shape, f"outputs have the shape {list(outputs.shape)}, not {list(expected.shape)}"
    )
    require(outputs.isfinite().all(), "outputs are not all finite")


def integers(of: Compression) -> None:
    """Every weight is in fewer bits or was left with a reason, and integers give what they simulate."""
    if not of.found.quantized:
        raise SkipTest("the method quantizes nothing")
    require_accounted(of.subject.model, of.found)
    if of.found.simulated is not None:
        require_integers(of.found, of.subject)


def save_and_load(of: Compression) -> None:
    """The smaller model comes back from its file to the bit."""
    require_from_file(copy.deepcopy(of.found.model), of.subject.fresh(), of.subject)


def compiled(of: Compression) -> None:
    """The smaller model, compiled, gives what it gives."""
    require_compiled(copy.deepcopy(of.found.model).eval(), of.subject)


METHOD_CHECKS = {
    "leaves-its-input": leaves_its_input,
    "deterministic": deterministic_result,
    "compresses": compresses,
    "sparsity-as-asked": sparsity_as_asked,
    "masks-are-zeros": masks_are_zeros,
    "runs": runs,
    "integers": integers,
    "save-and-load": save_and_load,
    "compiled": compiled,
}


def id_parts(settings: CompressionSettings) -> None:
    """The parts of a case id have characters of [a-z0-9.-] only, and other settings have other ones."""
    require(METHODS[settings.method].settings_class is type(settings), f"{settings.method!r} has other settings")
    own = _whole_id(settings)
    for part in own:
        require(re.fullmatch(r"[a-z0-9.-]+", part), f"{part!r} is no part of a case id; use [a-z0-9.-]")
    for name, other in _others(settings):
        require(_whole_id(other) != own, f"another {name} has the same parts of a case id, {own}")


def refuses(settings: CompressionSettings) -> None:
    """A model without any weight is refused with one sentence."""
    try:
        found = compress(nn.Sequential(nn.BatchNorm1d(4)), settings, example=(torch.ones(3, 4),))
    except GnnError as error:
        require(str(error).strip() and "\n" not in str(error), f"what it says is no sentence: {str(error)!r}")
        return
    require(
        not settings.compresses or found.compressed_tensors,
        "a model without weights was neither refused nor compressed",
    )


SETTINGS_CHECKS = {"id-parts": id_parts, "refuses-a-model-without-weights": refuses}


def check_method(
    settings: CompressionSettings,
    models: Mapping[str, tuple[nn.Module, Any]] | None = None,
    training: TrainingContext | None = None,
) -> Iterator[Check]:
    """Check what any compression method owes to the models it is given, to files and kernels.

    In pytest: `@pytest.mark.parametrize("check", gnn.testing.check_method(MySettings(0.5)))`; see `check_model`.

    Args:
        settings: A registered method's settings.
        models: Modules in FP32 by name, each with an example as in `check_model`; by default small ones of PyG.
        training: How a model is trained, for methods that train; its model and task are checked then, and what is
            trained is not remembered.

    Returns:
        A `Check`, (name, callable), for each name in `SETTINGS_CHECKS`, and "<model>.<name>" for each in
        `METHOD_CHECKS`.
    """
    for name, of_settings in SETTINGS_CHECKS.items():
        yield Check.of(name, of_settings, settings)
    builds: dict[str, Build] = dict(FOREIGN)
    if training is not None:
        training = replace(training, remember=lambda _, build: build())
        builds = {training.model_name: lambda: (training.initial(), training.task)}
    elif models is not None:
        builds = {name: partial(lambda pair: pair, pair) for name, pair in models.items()}
    for model, build in builds.items():
        compression = Compression(settings, build, training)
        for name, function in METHOD_CHECKS.items():
            yield Check.of(f"{model}.{name}", function, compression)


def _weights(model: nn.Module) -> list[Tensor]:
    return [getattr(layer, name) for _, layer, name in prunable_parameters(model)]


def _whole_id(settings: Any) -> tuple[str, ...]:  # noqa: ANN401
    return (getattr(settings, "id_method", settings.method), *settings.id_parts())


def _others(settings: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    """Settings that differ in one field, as far as the types of fields and the settings themselves allow."""
    if not is_dataclass(settings) or isinstance(settings, type):
        return
    hints = get_type_hints(type(settings))
    for field in fields(settings):
        value, choices = getattr(settings, field.name), ()
        if get_origin(hints.get(field.name)) is Literal:
            choices = get_args(hints[field.name])
        elif isinstance(value, bool):
            choices = (not value,)
        elif isinstance(value, int | float):
            choices = (value + 1, value - 1, value / 2 + 0.125)
        for choice in choices:
            if choice != value:
                try:
                    yield field.name, replace(settings, **{field.name: choice})
                except (SettingError, TypeError):
                    continue


def _small(build: Callable[[Any], nn.Module], *, pooled: bool = False) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """A model of PyG, which takes seconds to import, and an example of four graphs."""
    from torch_geometric import nn as pyg  # noqa: PLC0415

    with deterministic(0):
        graph_of_node = torch.arange(4).repeat_interleave(5)
        edge_index = torch.randint(5, (2, 40)) + 5 * torch.arange(4).repeat_interleave(10)
        example = (torch.randn(20, 6), edge_index, graph_of_node)
        return build(pyg).eval(), example if pooled else example[:2]


def _pooled(pyg: Any) -> nn.Module:  # noqa: ANN401
    layers = [
        (pyg.GraphConv(6, 12), "x, edge_index -> x"),
        nn.ReLU(),
        (pyg.global_mean_pool, "x, batch -> x"),
        nn.Linear(12, 3),
    ]
    return pyg.Sequential("x, edge_index, batch", layers)


FOREIGN: dict[str, Build] = {
    "gcn": lambda: _small(lambda pyg: pyg.models.GCN(6, 12, 2, 3)),
    "gin": lambda: _small(lambda pyg: pyg.models.GIN(6, 12, 2, 3, norm="batch_norm")),
    "sage": lambda: _small(lambda pyg: pyg.models.GraphSAGE(6, 12, 2, 3, jk="cat")),
    "pooled": lambda: _small(_pooled, pooled=True),
}

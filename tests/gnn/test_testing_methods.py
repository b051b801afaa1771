"""Every check of methods in gnn.testing fails for a method that is wrong in its way, and for no other."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from gnn.compression import METHODS, Compressed, Context, Dense, FineGrained, Masks, PostTraining, Qat, compress
from gnn.compression.registry import Compress, RegisteredMethod
from gnn.testing import METHOD_CHECKS, SETTINGS_CHECKS, Check, check_method, report
from tests.gnn.small_nets import Net, example

DRAWN = count()


@dataclass(frozen=True)
class Own:
    """The settings of a method that removes half of the weights of each layer."""

    method: ClassVar[str] = "own"
    sparsity: float | None = 0.5
    compresses: bool = True

    def id_parts(self) -> tuple[str, ...]:
        return (f"s{self.sparsity or 0}", *(() if self.compresses else ("nothing",)))


class Shouting(Own):
    def id_parts(self) -> tuple[str, ...]:
        return tuple(part.upper() for part in super().id_parts())


class Alike(Own):
    def id_parts(self) -> tuple[str, ...]:
        return ()


def remove_half(model: nn.Module, _settings: Own, _context: Context) -> Compressed:
    return compress(model, FineGrained(0.5))


def and_then(spoil: Callable[[Any, Any], object]) -> Compress:
    """The right method, and one thing more."""

    def method(model: nn.Module, settings: Own, context: Context) -> Compressed:
        found = remove_half(model, settings, context)
        spoiled = spoil(found, context)
        return spoiled if isinstance(spoiled, Compressed) else found

    return method


def lies_about_a_weight(found: Compressed, _: Context) -> Compressed:
    kept = {name: mask.clone() for name, mask in found.masks.kept.items()}
    row, column = kept["enter.weight"].nonzero()[0]
    kept["enter.weight"][row, column] = False
    return replace(found, masks=Masks(kept))


def says_too_few_codes(_found: Compressed, _context: Context) -> Compressed:
    found = compress(Net(), PostTraining(8), example=example())
    return replace(found, quantized=found.quantized[:1])


def replaces_the_forward_of_a_layer(found: Compressed, _: Context) -> None:
    layer = found.model.leave
    layer.forward = partial(lambda layer, hidden: 2 * nn.functional.linear(hidden, layer.weight, layer.bias), layer)


WRONG_METHODS: list[tuple[str, Own, Compress]] = [
    ("id-parts", Shouting(), remove_half),
    ("id-parts", Alike(), remove_half),
    (
        "refuses-a-model-without-weights",
        Own(),
        lambda model, *given: remove_half(model, *given) if hasattr(model, "leave") else model.leave,
    ),
    (
        "refuses-a-model-without-weights",
        Own(),
        lambda model, *given: remove_half(model, *given) if hasattr(model, "leave") else Compressed(model, Masks()),
    ),
    ("net.leaves-its-input", Own(), and_then(lambda _, context: context.example[0].add_(1.0))),
    ("net.deterministic", Own(), and_then(lambda found, _: found.model.leave.bias.data.fill_(next(DRAWN)))),
    ("net.compresses", Own(None), and_then(lambda *_: Compressed(Net(), Masks()))),
    ("net.compresses", Own(compresses=False), remove_half),
    ("net.sparsity-as-asked", Own(), and_then(lambda *_: compress(Net(), FineGrained(0.1)))),
    ("net.masks-are-zeros", Own(), and_then(lies_about_a_weight)),
    ("net.runs", Own(), and_then(lambda found, _: found.model.leave.bias.data.fill_(torch.inf))),
    ("net.integers", Own(None), and_then(says_too_few_codes)),
    (
        "net.save-and-load",
        Own(),
        and_then(lambda found, _: found.model.register_buffer("phase", torch.zeros(1).to(torch.complex64))),
    ),
    ("net.save-and-load net.compiled", Own(), and_then(replaces_the_forward_of_a_layer)),
]


def of_net(settings: Any) -> list[Check]:  # noqa: ANN401
    return list(check_method(settings, {"net": (Net(), example())}))


@pytest.mark.parametrize(("names", "settings", "method"), WRONG_METHODS)
def test_a_wrong_method_breaks_what_it_is_wrong_in_and_nothing_else(
    names: str, settings: Own, method: Compress
) -> None:
    with METHODS.temporarily("own", RegisteredMethod(type(settings), method)):
        assert " ".join(report(of_net(settings)).failed) == names


def test_every_check_of_methods_has_failed() -> None:
    broken = {name.removeprefix("net.") for names, _, _ in WRONG_METHODS for name in names.split()}
    assert broken == {*SETTINGS_CHECKS, *METHOD_CHECKS}


def test_right_methods_break_nothing_on_the_small_models_of_pyg() -> None:
    for settings in (Dense(), FineGrained(0.5)):
        found = report(check_method(settings))
        assert not found.failed, f"\n{found}"
        assert len(found.held) == len(SETTINGS_CHECKS) + 4 * (6 + isinstance(settings, FineGrained) * 2)


def test_a_method_that_trains_does_not_apply_without_a_training_context() -> None:
    found = report(of_net(Qat(8)))
    assert not found.failed
    assert set(found.held) == set(SETTINGS_CHECKS)
    assert set(found.not_applicable.values()) == {
        "this method trains the model; give compress() its training context as well",
        "the settings ask for no sparsity",
    }

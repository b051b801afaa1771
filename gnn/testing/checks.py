"""A check by its name, and what comes of many of them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple
from unittest import SkipTest

import torch
from torch import Tensor

from gnn.determinism import deterministic

# Rounding of a deep model; the absolute part is a share of the largest number.
RELATIVE, ABSOLUTE = 1e-4, 1e-5


class _Named(NamedTuple):
    name: str
    run: Callable[[], None]


class Check(_Named):
    """One contract, as (name, callable) or as something to call.

    The callable returns where the contract holds, raises AssertionError with a sentence where it is broken, and
    `unittest.SkipTest` with the reason where it does not apply. pytest and unittest show the latter as skipped.
    """

    @classmethod
    def of(cls, name: str, function: Callable[..., None], *arguments: object) -> "Check":
        """A check that runs a function on one thread with seeded random numbers; what that raises breaks it as well."""
        return cls(name, partial(_run, function, arguments))

    @property
    def __name__(self) -> str:
        """The name, by which pytest calls a test that has the check as its parameter."""
        return self.name

    def __call__(self) -> None:
        """Run the check; raises AssertionError or `unittest.SkipTest`."""
        self.run()


def _run(function: Callable[..., None], arguments: tuple[object, ...]) -> None:
    try:
        with deterministic(0):
            function(*arguments)
    except (AssertionError, SkipTest):
        raise
    except Exception as error:
        raise AssertionError(f"it raised {said(error)}") from error


@dataclass(frozen=True)
class Report:
    """What came of some checks: names of those that hold, and the others with the reason; `str` makes a table of it."""

    held: tuple[str, ...] = ()
    not_applicable: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        rows = [
            *((name, "holds", "") for name in self.held),
            *((name, "not applicable", reason) for name, reason in self.not_applicable.items()),
            *((name, "FAILED", reason) for name, reason in self.failed.items()),
        ]
        width = max((len(name) for name, _, _ in rows), default=0)
        lines = [f"{name:{width}}  {outcome:14}  {reason}".rstrip() for name, outcome, reason in rows]
        run = len(self.held) + len(self.failed)
        return "\n".join([*lines, f"{run} run, {len(self.not_applicable)} not applicable, {len(self.failed)} failed"])


def report(checks: Iterable[Check]) -> Report:
    """Run checks, one after the other, and tell what came of each."""
    held, not_applicable, failed = [], {}, {}
    for check in checks:
        try:
            check()
            held.append(check.name)
        except SkipTest as reason:
            not_applicable[check.name] = str(reason)
        except AssertionError as error:
            failed[check.name] = str(error)
    return Report(tuple(held), not_applicable, failed)


def require(holds: object, sentence: str) -> None:
    """Raise AssertionError with a sentence where something does not hold; unlike `assert` with `python -O` too."""
    if not holds:
        raise AssertionError(sentence)


def require_close(
    found: Tensor, expected: Tensor, sentence: str, relative: float = RELATIVE, absolute: float = ABSOLUTE
) -> None:
    """Raise AssertionError where two tensors differ by more than rounding can explain."""
    require(
        found.shape == expected.shape,
        f"{sentence}: outputs have the shape {list(found.shape)}, not {list(expected.shape)}",
    )
    found, expected = found.double().cpu(), expected.double().cpu()
    largest = float(expected.abs().max()) if expected.numel() else 0.0
    if not torch.allclose(found, expected, rtol=relative, atol=absolute * largest):
        difference = float((found - expected).abs().max())
        raise AssertionError(f"{sentence}: a number differs by {difference:.2g}, where the largest is {largest:.2g}")


def require_equal(found: Tensor, expected: Tensor, sentence: str) -> None:
    """Raise AssertionError where two tensors are not the same to the bit."""
    require(found.shape == expected.shape and found.dtype == expected.dtype, f"{sentence}: another shape or type")
    same = (found == expected) | (found.isnan() & expected.isnan())
    require(same.all(), f"{sentence}: {int((~same).sum())} of {same.numel()} numbers differ")


def said(error: Exception) -> str:
    """The kind of an error and the first line of what it says."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"

"""Which compression to use within limits, or what is closest to them."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.report.pareto import NOT_TIMED, Option, options
from bench.report.table import Cell, Table
from fixtures.record import Results
from gnn.errors import SettingError

UNITS: Mapping[str, tuple[Mapping[str, float], str]] = {
    "bytes": (
        {"": 1, "b": 1, "k": 1e3, "kb": 1e3, "kib": 1024, "m": 1e6, "mb": 1e6, "mib": 1024**2},
        "a positive number of bytes such as 30k, 30000 or 1.5M",
    ),
    "latency": ({"us": 1e-6, "ms": 1e-3, "s": 1.0}, "a positive time with its unit such as 2ms, 500us or 0.1s"),
    "drop": ({"": 1, "%": 0.01}, "a share of the score such as 0.01 or 1%"),
}
CLOSEST = 3
HEADERS = (
    *("case", "fits", "bytes", "x smaller", "ms", "x faster", "score", "drop", "95% interval", "seeds"),
    *("joules", "source", "settings", "command"),
)
# A terminal has no room for them beside the others.
IN_WORDS = ("seeds", "settings", "command")
STYLES = {
    **{"bytes": ",.0f", "x smaller": ".2f", "ms": ".4g", "x faster": ".2f", "score": ".4f", "drop": "+.4f"},
    "joules": ".3g",
}


def limit(name: str, text: str) -> float:
    """The number that a limit such as 30k, 2ms or 1% is, in bytes, seconds or as a share.

    Args:
        name: What it limits: bytes, latency or drop.
        text: What was typed.

    Raises:
        SettingError: It is none.
    """
    units, expected = UNITS[name]
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?(?:e-?\d+)?|\.\d+)\s*([a-z%]*)\s*", text, re.IGNORECASE)
    unit = found and units.get(found[2].lower())
    value = float(found[1]) * unit if found and unit else math.nan
    if not 0 <= value < math.inf or (value == 0 and name != "drop"):
        raise SettingError(f"--max-{name} {text!r} is no limit; give {expected}")
    return value


@dataclass(frozen=True)
class Limits:
    """What a file may lose, hold and take; None for no limit."""

    max_drop: float | None = None
    max_bytes: float | None = None
    max_latency_s: float | None = None

    def excess(self, option: Option) -> list[float]:
        """By which share of its limit each number is beyond it; infinite for what was not measured."""
        pairs = [
            (option.drop, self.max_drop),
            (option.size_bytes, self.max_bytes),
            (math.inf if option.latency_s is None else option.latency_s, self.max_latency_s),
        ]
        return [max(0.0, value - most) / (most or 0.01) for value, most in pairs if most is not None]

    def __str__(self) -> str:
        """The limits in words."""
        said = [] if self.max_drop is None else [f"at most {self.max_drop:g} lost"]
        said += [] if self.max_bytes is None else [f"at most {self.max_bytes:,.0f} bytes"]
        said += [] if self.max_latency_s is None else [f"at most {1e3 * self.max_latency_s:g} ms"]
        return ", ".join(said) or "there are none"


@dataclass(frozen=True)
class Advice:
    """What fits, smallest file first, or the closest where nothing does, and a sentence that says which it is."""

    fitting: tuple[Option, ...]
    closest: tuple[Option, ...]
    limits: Limits
    sentence: str

    @property
    def table(self) -> Table:
        """A row for each answer."""
        notes = [
            self.sentence,
            "drop is against the dense model of the same seed, a mean; fits is 'surely' where all of the 95% interval"
            " is within the limit, 'on average' where only the mean is",
        ]
        title = "Which compression to use" if self.fitting else "Nothing fits; the closest"
        return Table("advice", title, HEADERS, [self._row(option) for option in self._shown], notes, STYLES)

    def text(self) -> str:
        """The answers for a terminal: what each is worth in a table, and below it how to make each again."""
        narrow = [header for header in HEADERS if header not in IN_WORDS]
        rows = [
            [cell for header, cell in zip(HEADERS, row, strict=True) if header in narrow] for row in self.table.rows
        ]
        again = [f"{option.case}: {settings_text(option.settings)}\n  {option.command}" for option in self._shown]
        return "\n".join([replace(self.table, headers=narrow, rows=rows).text(), "", *again])

    @property
    def _shown(self) -> tuple[Option, ...]:
        return self.fitting or self.closest

    def _row(self, option: Option) -> list[Cell]:
        most = math.inf if self.limits.max_drop is None else self.limits.max_drop
        is_sure = most == math.inf or (option.drop_ci95 is not None and option.drop_ci95[1] <= most)
        fits = "no" if option in self.closest else "surely" if is_sure else "on average"
        return [
            *(option.case, fits, option.size_bytes, option.smaller),
            None if option.latency_s is None else 1e3 * option.latency_s,
            *(option.speedup, option.accuracy, option.drop, interval(option.drop_ci95), option.seeds),
            *(option.energy_j, option.energy_source, settings_text(option.settings), option.command),
        ]


def interval(ends: tuple[float, float] | None) -> str:
    """A 95% interval in words; a single seed has none."""
    return "-" if ends is None else f"{ends[0]:+.4f} to {ends[1]:+.4f}"


def settings_text(settings: Mapping[str, Any]) -> str:
    """The settings of a file, such as sparsity 0.8, fine_tune yes, precision int8."""
    return ", ".join(f"{name} {_setting(value)}" for name, value in settings.items())


def _setting(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, Mapping):
        return f"({settings_text(value)})"
    return {True: "yes", False: "no", None: "none"}[value] if isinstance(value, bool | None) else str(value)


def advise(
    results: Results,
    task: str | None = None,
    model: str | None = None,
    max_drop: float | None = None,
    max_bytes: float | None = None,
    max_latency_s: float | None = None,
) -> Advice:
    """Find what may be used within limits: of what fits, the files that no other one beats, smallest first.

    Args:
        results: What --results wrote.
        task: Of which task, such as bbbp; all when None.
        model: Of which model, such as gin; all when None.
        max_drop: How much of the score it may lose against its dense model, on average over the seeds.
        max_bytes: How many bytes its file may have.
        max_latency_s: How many seconds one pass over the test part may take; a case that was not timed does not fit.

    Returns:
        What fits, or the three that miss the limits by the smallest share.

    Raises:
        SettingError: The results have no such task or model, or no compressed case of it.
    """
    limits = Limits(max_drop, max_bytes, max_latency_s)
    found = [option for option in options(results) if not option.is_dense]
    for name, asked in (("task", task), ("model", model)):
        known = sorted({getattr(option, name) for option in found})
        if asked is not None and asked not in known:
            raise SettingError(
                f"the results have no compressed case of {name} {asked!r}; valid are: {', '.join(known) or 'none'}"
            )
        found = [option for option in found if asked in (None, getattr(option, name))]
    if not found:
        raise SettingError("the results have no compressed case that may be used; run more, or mend what is red")
    fitting = [option for option in found if not any(limits.excess(option))]
    is_best: Callable[[Option], bool] = lambda option: option.is_on_front or option.is_on_front_of_task  # noqa: E731
    best = [option for option in fitting if is_best(option)] or fitting
    if best:
        others = len(fitting) - len(best)
        beaten = f" ({others} more fit, but another one is as small, as fast and as accurate)" if others else ""
        said = (
            f"{len(best)} of {len(found)} files within the limits ({limits}){beaten}, each read back from disk and run"
        )
        return Advice(tuple(best), (), limits, said)
    closest = sorted(found, key=lambda option: (sum(limits.excess(option)), option.size_bytes))[:CLOSEST]
    return Advice((), tuple(closest), limits, _nothing(len(found), limits, closest))


def _nothing(count: int, limits: Limits, closest: Sequence[Option]) -> str:
    said = "; ".join(
        f"{option.case} loses {option.drop:.4f} with {option.size_bytes:,.0f} bytes"
        + (f", {NOT_TIMED}" if option.latency_s is None else f" and {1e3 * option.latency_s:.3g} ms")
        for option in closest
    )
    return f"none of {count} files is within the limits ({limits}); closest are {said}; allow more of one"

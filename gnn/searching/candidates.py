"""What a search tries, and how two of its candidates are compared."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from math import inf
from statistics import fmean

from gnn.case import Case, can_be_fine_tuned
from gnn.compression import (
    METHODS,
    CompressionSettings,
    Dense,
    GlobalMagnitude,
    Hybrid,
    PostTraining,
    Structured,
)
from gnn.errors import SettingError
from gnn.searching.speed import Speed

# Most promising first, for when there is no time for all of them; without training less can be removed.
TUNED_SPARSITIES = (0.9, 0.95, 0.8, 0.98, 0.7, 0.5)
UNTUNED_SPARSITIES = (0.8, 0.9, 0.5)
HYBRID_SPARSITIES = (0.9, 0.95, 0.8)
BIT_WIDTHS = (8, 4)
# Pruning methods by name and what else is set; one that is not registered is left out.
PRUNING: tuple[tuple[str, dict[str, str]], ...] = (
    ("global", {}),
    ("layer-adaptive", {}),
    ("structured", {}),
    ("structured", {"importance": "taylor"}),
    ("fine-grained", {}),
)
# So many times beyond what is allowed, more sparsity will not help.
HOPELESS = 5.0
# What counts as one step beyond the allowed drop, as a share of the dense score: one point of an accuracy.
DROP_STEP = 0.01


@dataclass(frozen=True)
class Work:
    """A method that is applied once for a seed; what it leaves is written in several precisions."""

    compression: CompressionSettings
    fine_tune: bool = False

    @property
    def fine_tunings(self) -> int:
        """How many rounds of fine-tuning it takes, as far as is known before it was tried."""
        return 2 if isinstance(self.compression, Hybrid) else int(self.fine_tune)

    @property
    def pruning(self) -> CompressionSettings:
        """What decides about the shapes that are left."""
        return getattr(self.compression, "pruning", self.compression)

    @property
    def sparsity(self) -> float:
        """The share of weights that it removes, 0 where it removes none."""
        return getattr(self.pruning, "sparsity", 0.0)

    @property
    def family(self) -> tuple[object, ...]:
        """What it shares with those that only have another sparsity."""
        settings = asdict(self.compression)  # pyright: ignore[reportArgumentType]
        others = sorted((name, str(value)) for name, value in settings.items() if name not in ("sparsity", "pruning"))
        return (self.compression.method, self.pruning.method, *others, self.fine_tune)


@dataclass(frozen=True)
class Candidate:
    """A compression that was tried: the validation scores of the models read back from their files, and its file.

    Scores are by seed, those of the dense models of the same seeds beside them; the size and the speed are those of the
    first seed, whose file is the one that a search gives. `speed` is None where it was not measured, which is so for
    candidates that were never on the front.
    """

    case: Case
    seeds: tuple[int, ...]
    scores: tuple[float, ...]
    dense_scores: tuple[float, ...]
    size_bytes: int
    speed: Speed | None = None

    @property
    def drops(self) -> tuple[float, ...]:
        """What is lost of the dense score, by seed."""
        return tuple(dense - score for dense, score in zip(self.dense_scores, self.scores, strict=True))

    @property
    def drop(self) -> float:
        """What is lost of the dense score: on average over the seeds or by the file itself, whichever is more."""
        return max(fmean(self.drops), self.drops[0])

    @property
    def work(self) -> Work:
        """The method that made it."""
        return Work(self.case.compression, self.case.fine_tune)


@dataclass(frozen=True)
class Limits:
    """What a candidate has to fulfil; raises `SettingError` for limits that nothing can."""

    max_drop: float = 0.01
    max_bytes: int | None = None
    max_latency_s: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.max_drop < inf:
            raise SettingError(f"max_drop {self.max_drop} must be a number from 0 on, such as 0.01 for one point")
        for name in ("max_bytes", "max_latency_s"):
            value = getattr(self, name)
            if value is not None and not 0 < value < inf:
                raise SettingError(f"{name} {value} must be a number above 0, or None for no limit")

    def excess(self, candidate: Candidate) -> float:
        """How far a candidate is beyond the limit that it misses most, 0 where it fulfils all.

        One is a point of accuracy (see `DROP_STEP`), or twice the bytes or seconds that are allowed.
        """
        step = max(self.max_drop, DROP_STEP * abs(candidate.dense_scores[0])) or 1.0
        # The last bit of a difference of two scores is no drop.
        beyond = [(candidate.drop - self.max_drop - 1e-9) / step]
        if self.max_bytes is not None:
            beyond.append(candidate.size_bytes / self.max_bytes - 1)
        if self.max_latency_s is not None:
            beyond.append(inf if candidate.speed is None else candidate.speed.latency_s / self.max_latency_s - 1)
        return max(0.0, *beyond)

    def hopeless(self, candidate: Candidate) -> bool:
        """Whether a candidate loses so much that nobody would take it."""
        return Limits(self.max_drop).excess(candidate) > HOPELESS

    def rank(self, candidate: Candidate) -> tuple[float, int, float]:
        """What candidates are sorted by, the best first: limits, then bytes, then seconds."""
        latency_s = inf if candidate.speed is None else candidate.speed.latency_s
        return self.excess(candidate), candidate.size_bytes, latency_s

    def __str__(self) -> str:
        said = [f"loses at most {self.max_drop:g} of the validation score"]
        if self.max_bytes is not None:
            said.append(f"has at most {self.max_bytes:,} bytes")
        if self.max_latency_s is not None:
            said.append(f"takes at most {1e3 * self.max_latency_s:g} ms")
        return " and ".join(said)


def works(methods: Sequence[CompressionSettings] | None) -> list[Work]:
    """What is tried, cheapest first: without training, with fine-tuning, pruning then quantizing.

    Methods that are given take the place of ours, each without and with fine-tuning where that is possible.
    """
    if methods is not None and not methods:
        raise SettingError("methods is empty; give at least one, such as gnn.Structured(0.5), or None for all")
    found = list(_own() if methods is None else _given(methods))
    return sorted(dict.fromkeys(found), key=lambda work: work.fine_tunings)


def _given(methods: Iterable[CompressionSettings]) -> Iterator[Work]:
    for method in methods:
        yield Work(method)
        if can_be_fine_tuned(method):
            yield Work(method, fine_tune=True)


def _own() -> Iterator[Work]:
    yield Work(Dense())
    registered = set(METHODS)
    pruning = [(METHODS[name].settings_class, others) for name, others in PRUNING if name in registered]
    for fine_tune, sparsities in ((False, UNTUNED_SPARSITIES), (True, TUNED_SPARSITIES)):
        for sparsity in sparsities:
            yield from (Work(settings(sparsity=sparsity, **others), fine_tune) for settings, others in pruning)
    yield from (Work(PostTraining(bits)) for bits in BIT_WIDTHS)
    for sparsity in HYBRID_SPARSITIES:
        for first in (GlobalMagnitude(sparsity), Structured(sparsity)):
            yield from (Work(Hybrid(first, bits)) for bits in BIT_WIDTHS)


def non_dominated(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Those for which no other one has a smaller file and loses as little, smallest file first."""
    front: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda c: (c.size_bytes, c.drop)):
        if not front or candidate.drop < front[-1].drop:
            front.append(candidate)
    return tuple(front)

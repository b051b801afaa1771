"""What moved: a run beside the accepted values, or beside another run, by the definition of the gate."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.report.pareto import OWN_SUITE
from bench.report.table import Cell, Table
from fixtures.baseline import BaselineError, BaselineFile, Document, compare_with_baseline, movements
from fixtures.findings import FAIL, IMPROVED, PASS, UNDECIDED
from fixtures.movement import Movement
from fixtures.record import Record, Results
from fixtures.suite import Suite
from fixtures.thresholds import Rules
from fixtures.timing_baseline import TimingBaseline, measured_ratios
from gnn.errors import GnnError

BENCH = Path(__file__).parents[1]
SNAPSHOTS = BENCH.parent / "snapshots"
WORDS = {FAIL: "worse", UNDECIDED: "undecided", IMPROVED: "better", PASS: "within noise"}
HEADERS = ("case", "metric", "before", "now", "difference", "95% interval", "seeds", "verdict")
STYLES = {"before": ",.6g", "now": ",.6g", "difference": "+,.6g"}
DEFINITION = (
    "the gate's definition: worse is a loss whose 95% interval, paired by seed, lies at the allowance or beyond, or "
    "that is larger than the allowance and what drawing the seeds anew could make it; better the same the other way; "
    "undecided a mean loss beyond the allowance whose interval is too wide to tell. Where data, torch and instruction "
    "set are the same, results repeat bit for bit, and no byte more is allowed. Allowances: fixtures/thresholds.toml"
)


@dataclass(frozen=True)
class Move:
    """How far one metric of a case moved; `movement.interval` is of the difference now - before."""

    case: str
    seeds: int
    movement: Movement

    @property
    def verdict(self) -> str:
        """What the gate says of it, in one of `WORDS`."""
        return WORDS[self.movement.status]

    @property
    def row(self) -> list[Cell]:
        """Its cells below `HEADERS`."""
        found = self.movement
        return [
            *(self.case, found.metric, found.accepted, found.now, found.now - found.accepted),
            *("-" if found.interval is None else "{:+,.4g} to {:+,.4g}".format(*found.interval), self.seeds),
            self.verdict,
        ]


@dataclass(frozen=True)
class Moved:
    """What is worse, undecided and better than the accepted values, in this order and the largest share first.

    `within_noise` counts the values that did not move, or not by more than is allowed and seeds explain.
    `not_compared` says of each case without accepted values why; `reasons` and `improvements` are the gate's sentences
    of the run itself, by case.
    """

    moves: tuple[Move, ...]
    within_noise: int
    compared_cases: int
    not_compared: Mapping[str, str]
    reasons: Mapping[str, tuple[str, ...]]
    improvements: Mapping[str, tuple[str, ...]]
    ungated_ratios: int

    @property
    def sentence(self) -> str:
        """How much moved, in one sentence."""
        counts = {word: sum(move.verdict == word for move in self.moves) for word in ("worse", "undecided", "better")}
        moved = ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "nothing moved"
        of_cases = f"{self.within_noise:,} values of {self.compared_cases} cases within noise"
        missing = f", {len(self.not_compared)} cases without accepted values" if self.not_compared else ""
        ungated = f", {self.ungated_ratios} ratios not gated on this class of machines" if self.ungated_ratios else ""
        return f"{moved}; {of_cases}{missing}{ungated}"

    @property
    def table(self) -> Table:
        """One row for each value that moved."""
        rows, notes = [move.row for move in self.moves], [self.sentence, DEFINITION]
        return Table("moved", "What moved against the accepted values", HEADERS, rows, notes, STYLES)


def moved(results: Results, snapshots: Path = SNAPSHOTS) -> Moved:
    """Compare a run with what is accepted now.

    Args:
        results: What --results wrote.
        snapshots: The folder of this suite's snapshots; those of somebody else's suite are beside its test files.

    Returns:
        What moved. Records with numbers that are none have only the gate's reasons.

    Raises:
        GnnError: The rules or the accepted ratios are damaged.
    """
    suites: dict[Path, Suite] = {}
    moves, not_compared, compared, ungated = [], {}, 0, 0
    for record in results.cases:
        folder = _folder(record, results)
        if folder not in suites:
            own = snapshots if folder == BENCH else None
            suites[folder] = Suite.of(folder, results.machine.get("class", ""), snapshots=own, ignore_timing=False)
        found = _of_case(record, results, suites[folder])
        ungated += len(record.ungated_ratios)
        if isinstance(found, str):
            not_compared[record.id] = found
        else:
            compared += 1
            moves += found
    kept = sorted((move for move in moves if move.movement.status != PASS), key=_worst_first)
    reasons = {record.id: (*record.gate.reasons,) for record in results.cases if record.gate.reasons}
    gains = {record.id: (*record.gate.improvements,) for record in results.cases if record.gate.improvements}
    return Moved(tuple(kept), len(moves) - len(kept), compared, not_compared, reasons, gains, ungated)


def _folder(record: Record, results: Results) -> Path:
    file = results.files.get(record.id, OWN_SUITE)
    return BENCH if file.startswith(OWN_SUITE) else Path(results.root, file).parent


def _of_case(record: Record, results: Results, suite: Suite) -> list[Move] | str:
    """What became of the values of a case, or why that cannot be told."""
    if record.not_finite:
        return f"{', '.join(record.not_finite)} is no finite number"
    try:
        stored = BaselineFile(suite.snapshots, record.id, record.protocol, suite.bless).read()
    except BaselineError as error:
        return str(error)
    measured = as_document(record, results)
    found = [] if stored is None else movements(measured, stored, suite.rules.allowances)
    if not found:
        return compare_with_baseline(measured, stored, ())[0].sentence.removeprefix(f"{record.id}: ")
    gated = [rule for rule in suite.rules.timings if rule.metric not in record.ungated_ratios]
    return [Move(record.id, len(record.seeds), one) for one in (*found, *suite.timing.movements(record, gated))]


def as_document(record: Record, results: Results) -> Document:
    """What a snapshot would hold of a record; what older files lack of single seeds is there as `means`."""
    machine = results.machine
    names = {"torch": results.versions.get("torch"), "instruction_set": machine.get("instruction_set")}
    # Linux on ARM has no name of its vendor, only a number.
    vendor = str(machine.get("vendor"))
    by_seed: dict[str, Any] = {**record.by_seed}
    means: dict[str, float] = {}
    if not by_seed:
        values = zip(record.seeds, record.accuracy.values, strict=True)
        by_seed = {str(seed): {"accuracy": accuracy} for seed, accuracy in values}
        sizes = record.size_bytes
        means = {"sparsity": record.sparsity, "nonzero_parameters": record.nonzero_parameters}
        means |= {f"{name}_bytes": getattr(sizes, name) for name in ("dense", "algorithm1", "encoded")}
    return {
        "case": record.id,
        "environment": names | {"vendor": "aarch64" if vendor.startswith("0x") else vendor},
        "task_sha256": record.task_sha256 or _of_first_seed(record, results),
        "seeds": by_seed,
        "means": means,
    }


def _of_first_seed(record: Record, results: Results) -> dict[str, str]:
    """The fingerprint that results have of the data of a task, which is that of its first seed."""
    data = results.data.get(record.task)
    return {str(record.seeds[0]): data.sha256} if data and data.sha256 else {}


def _worst_first(move: Move) -> tuple[int, float, str]:
    return [*WORDS].index(move.movement.status), -abs(move.movement.share), f"{move.case} {move.movement.metric}"


def compare(old: Results, new: Results, *, significant_only: bool = False) -> Table:
    """What changed from one run to another, by the definition that the gate has for accepted values.

    Args:
        old: The run to compare with.
        new: The run that is looked at.
        significant_only: Whether to leave out what is within noise.

    Returns:
        A row for each value that is not the same, the largest share of the old value first. Notes say how many cases
        both have, what only one has and why, and why ratios of latencies are left out where they are.

    Raises:
        GnnError: The runs have different protocols, data or scores, or no case in common.
    """
    before, now = ({record.id: record for record in results.cases} for results in (old, new))
    both = [(before[name], now[name]) for name in sorted(before.keys() & now.keys())]
    _refuse(old, new, both)
    rules = Suite.of(BENCH, "", snapshots=SNAPSHOTS, ignore_timing=True).rules
    classes = [results.machine.get("class") for results in (old, new)]
    ratios = measured_ratios([record for record, _ in both], rules.timings) if classes[0] == classes[1] else None
    timing = TimingBaseline(str(classes[0]), ratios)
    by_case = {record.id: _between(old, new, twin, record, rules, timing) for twin, record in both}
    moves = [move for found in by_case.values() for move in found]
    without = [name for name, found in by_case.items() if not found]
    changed = [move for move in moves if move.movement.now != move.movement.accepted]
    shown = [move for move in changed if move.movement.status != PASS] if significant_only else changed
    noise = sum(move.movement.status == PASS for move in changed)
    shown.sort(key=lambda move: (-abs(move.movement.share), move.case, move.movement.metric))
    notes = [
        f"{len(both)} cases are in both runs; {len(moves) - len(changed):,} values are the same, {noise:,} changed "
        f"within noise, {len(changed) - noise:,} by more",
        *_only(before.keys() - now.keys(), "the old run", new),
        *_only(now.keys() - before.keys(), "the new run", old),
        *([f"without a seed and a split in common, or with numbers that are none: {_listed(without)}"] * bool(without)),
        *([] if ratios is not None else [f"ratios of latencies are left out: {classes[0]} is another class of machines "
                                         f"than {classes[1]}"]),
        DEFINITION,
    ]  # fmt: skip
    title = f"What changed from {old.commit} ({old.date or 'no date'}) to {new.commit} ({new.date or 'no date'})"
    return Table("against", title, HEADERS, [move.row for move in shown], notes, STYLES)


def _between(
    old: Results, new: Results, before: Record, now: Record, rules: Rules, timing: TimingBaseline
) -> list[Move]:
    """How far the values of a case are apart in two runs; none where they do not compare."""
    if before.not_finite or now.not_finite:
        return []
    found = movements(as_document(now, new), as_document(before, old), rules.allowances)
    common = len({*before.seeds} & {*now.seeds})
    return [Move(now.id, common, one) for one in (*found, *timing.movements(now, rules.timings))] if found else []


def _refuse(old: Results, new: Results, pairs: Sequence[tuple[Record, Record]]) -> None:
    """Raise `GnnError` where numbers of the two runs are not of the same thing."""
    if old.protocol != new.protocol:
        raise GnnError(f"the old run has protocol {old.protocol!r}, the new one {new.protocol!r}; run both with one")
    if not pairs:
        raise GnnError("the two runs have no case in common; compare runs of one profile, or of the same --case")
    for task in sorted({record.task for _, record in pairs}):
        data = [
            results.data[task].sha256 for results in (old, new) if task in results.data and results.data[task].sha256
        ]
        if len({*data}) > 1:
            raise GnnError(f"the data of {task} is not the same in both runs ({data[0][:12]}, {data[1][:12]})")
    for before, now in pairs:
        if before.score != now.score:
            raise GnnError(f"the score of {now.id} was {before.score!r} and is {now.score!r}, which do not compare")


def _only(names: Iterable[str], which: str, other: Results) -> list[str]:
    """The cases that only one run has, and why the other has not, as far as it says."""
    named = sorted(names)
    broken = f"; {len(other.broken)} tests broke there without a result" if other.broken else ""
    why = f"the other one ran {len(other.cases)} cases of profile {other.profile}{broken}"
    return [f"only in {which} are {len(named)} cases ({why}): {_listed(named)}"] if named else []


def _listed(names: Sequence[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more

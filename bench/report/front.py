"""What the page begins with: which run it was, its verdict, what moved, and what is worth using."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import msgspec

from bench.report.advice import interval, settings_text
from bench.report.moved import SNAPSHOTS, Moved, moved
from bench.report.pareto import Option, options
from bench.report.table import Cell, Table
from fixtures.findings import Verdict
from fixtures.progress import case_name
from fixtures.record import Commit, Record, Results
from fixtures.summary import seeds_text, status, verdict

ENFORCE = "enforce"
# pytest's own number for a run that was interrupted.
INTERRUPTED = 2
MAX_DROP = 0.01
# Of methods that took the most of a run, so many are named.
LONGEST = 5
RULE = (
    "of the compressed cases of a model that were stored, read back, timed and are not red, those that no other one "
    "beats in bytes, speed and accuracy: the smallest file whose drop stays within "
    f"{MAX_DROP} (95% interval), the fastest of these where it is surely faster than the dense model, and the most "
    "accurate one that is smaller than the stored dense model. Where no interval stays within, the mean does, and it "
    "says so"
)
HEADERS = (
    *("model", "why", "case", "bytes", "x smaller", "ms", "x faster", "joules", "source", "drop", "95% interval"),
    *("seeds", "settings", "command"),
)
STYLES = {
    **{"bytes": ",.0f", "x smaller": ".2f", "ms": ".4g", "x faster": ".2f", "joules": ".3g", "drop": "+.4f"},
}


@dataclass(frozen=True)
class Choice:
    """A case worth using, and by which rules it was chosen."""

    why: str
    option: Option


@dataclass(frozen=True)
class WorthUsing:
    """What is worth using of a model, and what has to be said about the choice; none where nothing qualifies."""

    model: str
    choices: tuple[Choice, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Front:
    """Everything that the first screen of the page says."""

    machine: str
    versions: str
    run: str
    data: str
    took: str
    again: Mapping[str, Sequence[str]]
    planted: tuple[str, ...]
    date: str | None
    commit: str
    verdict: str
    is_red: bool
    counts: dict[str, int]
    broken: tuple[str, ...]
    moved: Moved
    worth: tuple[WorthUsing, ...]

    @property
    def warning(self) -> str:
        """What has to be said loudest; no text where all data is real."""
        if not self.planted:
            return ""
        return f"PLANTED DATA: {', '.join(self.planted)} is generated, and none of its numbers is of the real dataset"

    @property
    def table(self) -> Table:
        """What is worth using, a row for each choice."""
        rows = [_row(worth.model, choice) for worth in self.worth for choice in worth.choices]
        notes = [*(f"{worth.model}: {note}" for worth in self.worth for note in worth.notes), RULE]
        return Table("worth-using", "Worth using", HEADERS, rows, notes, STYLES)


def front(results: Results, snapshots: Path = SNAPSHOTS) -> Front:
    """Say what a reader has to know in ten seconds.

    Args:
        results: What --results wrote.
        snapshots: The folder of accepted values.

    Returns:
        The front of the page.

    Raises:
        GnnError: The rules or the accepted ratios are damaged.
    """
    return Front(
        machine=_machines(results),
        versions=", ".join(f"{package} {version}" for package, version in results.versions.items()),
        run=f"protocol {results.protocol}, profile {results.profile}, {seeds_text(results.cases)} per case",
        data=", ".join(f"{name} ({data.source})" for name, data in sorted(results.data.items())),
        took=_took(results),
        again=dict(_again(part) for part in results.shards if part["number"] is None),
        planted=tuple(sorted(name for name, data in results.data.items() if data.source == "planted")),
        date=results.date,
        commit=str(results.commit),
        verdict=verdict_of(results),
        is_red=exit_status(results) != 0,
        counts=dict(Counter(map(status, results.cases))),
        broken=tuple(str(test.get("test", "a test without a name")) for test in results.broken),
        moved=moved(results, snapshots),
        worth=worth_using(results),
    )


def _machines(results: Results) -> str:
    """The machine of the run, or each of several with the shards that it ran."""
    of_shards: dict[str, list[str]] = {}
    for shard in results.shards:
        name = "run again" if shard["number"] is None else f"{shard['number']}/{shard['of']}"
        of_shards.setdefault(_machine(shard["machine"]), []).append(name)
    if len(of_shards) < 2:
        return _machine(results.machine)
    return "; ".join(f"shards {', '.join(names)}: {machine}" for machine, names in of_shards.items())


def _again(part: Mapping[str, Any]) -> tuple[str, list[str]]:
    """How many cases a later run replaces, and why each failed before."""
    commit, cases = msgspec.convert(part["commit"], Commit), part["cases"]
    count = f"{len(cases)} {'case' if len(cases) == 1 else 'cases'}"
    said = f"{count} ran again, with commit {commit}; of the first run the gate had said"
    return said, [part["failed_before"].get(case, f"{case}: had not failed") for case in cases]


def _machine(machine: Mapping[str, Any]) -> str:
    gpu = machine.get("gpu")
    facts = [
        f"{machine.get('cpu', 'an unknown processor')} ({machine.get('instruction_set', 'unknown instructions')})",
        f"cores: {machine.get('cores', '?')}, threads: {machine.get('threads', '?')}",
        f"GPU: {gpu}" if gpu else "no GPU used",
        f"{machine.get('system', '')} {machine.get('kernel_release', '')}".strip(),
        f"class {machine['class']}" if "class" in machine else "",
    ]
    return "; ".join(fact for fact in facts if fact)


def _took(results: Results) -> str:
    """How long the run took, of shards all together, and what took most of it; no text in older files."""
    if not results.wall_s or results.measuring_s is None:
        return ""
    measuring = f"{results.wall_s / 60:,.0f} minutes, {results.measuring_s / results.wall_s:.0%} of them measuring"
    method = {record.id: record.method for record in results.cases}
    took_s: dict[str, float] = {}
    for test, duration_s in results.durations_s.items():
        name = method.get(case_name(test), "other tests")
        took_s[name] = took_s.get(name, 0.0) + duration_s
    longest = sorted(took_s.items(), key=itemgetter(1), reverse=True)[:LONGEST]
    shares = [f"{name} {duration_s / sum(took_s.values()):.0%}" for name, duration_s in longest if duration_s]
    return f"{measuring}; most of it, training included: {', '.join(shares)}" if shares else measuring


def is_red(record: Record, gate: str) -> bool:
    """Whether a case turned its run red; for older files what the gate would say of its status."""
    if record.gate.red is not None:
        return record.gate.red
    found = record.gate
    return Verdict(found.status, (*found.reasons,), (*found.improvements,)).is_red(gate)


def verdict_of(results: Results) -> str:
    """How the run ended, in the sentence that it ended with itself."""
    gate, broken = results.gate or ENFORCE, len(results.broken)
    failed = sum(is_red(record, gate) for record in results.cases) + broken
    # What is red beside the cases, such as a speed.
    failed = max(failed, len(results.failed) + broken, int(results.exit_status not in (None, 0, INTERRUPTED)))
    cases = len(results.cases) if results.profile_cases is None else results.profile_cases
    interrupted = results.exit_status == INTERRUPTED
    return verdict(results.cases, failed, broken, gate, cases, interrupted=interrupted)


def exit_status(*runs: Results) -> int:
    """0 where the gate of every run is green and something was judged, else 1.

    Files that do not say how their run ended are red for what the gate says of their cases, and for broken tests.
    """
    for results in runs:
        gate = results.gate or ENFORCE
        red = any(is_red(record, gate) for record in results.cases) or bool(results.broken)
        ended_red = red if results.exit_status is None else results.exit_status != 0
        if ended_red or not (results.cases or results.speeds):
            return 1
    return 0


def worth_using(results: Results) -> tuple[WorthUsing, ...]:
    """The two or three compressions of every model that are worth using; `RULE` says which."""
    found: dict[str, list[Option]] = {}
    for option in options(results):
        found.setdefault(option.case_model, []).append(option)
    return tuple(
        _worth(model, cases) for model, cases in sorted(found.items()) if not all(case.is_dense for case in cases)
    )


def _worth(model: str, cases: Sequence[Option]) -> WorthUsing:
    compressed = [case for case in cases if not case.is_dense]
    timed = [case for case in compressed if case.latency_s is not None]
    notes = [f"{len(compressed) - len(timed)} of {len(compressed)} cases were not timed and do not count"]
    notes *= len(timed) < len(compressed)
    unbeaten = [case for case in timed if case.is_on_front]
    chosen: list[tuple[str, Option]] = []
    within = [case for case in unbeaten if case.drop_ci95 is not None and case.drop_ci95[1] <= MAX_DROP]
    how = f"with a drop within {MAX_DROP}"
    if not within:
        within = [case for case in unbeaten if case.drop <= MAX_DROP]
        how += " on average, which the seeds do not prove"
    if within:
        chosen.append((f"smallest {how}", min(within, key=lambda case: case.size_bytes)))
        fast = [case for case in within if case.speedup_ci95 is not None and case.speedup_ci95[0] > 1]
        if fast:
            chosen.append((f"fastest {how}", max(fast, key=lambda case: case.speedup or 0.0)))
        else:
            notes.append(f"of those {how}, none is surely faster than the dense model")
    else:
        notes.append(f"no file has a drop within {MAX_DROP}")
    dense = min((case.size_bytes for case in cases if case.method_id == "dense"), default=None)
    smaller = [case for case in unbeaten if (case.size_bytes < dense if dense is not None else case.smaller > 1)]
    if smaller:
        chosen.append(("most accurate that is smaller", max(smaller, key=lambda case: case.accuracy)))
    reasons: dict[str, list[str]] = {}
    for why, option in chosen:
        reasons.setdefault(option.case, []).append(why)
    by_case = {option.case: option for _, option in chosen}
    return WorthUsing(model, tuple(Choice("; ".join(why), by_case[case]) for case, why in reasons.items()), (*notes,))


def _row(model: str, choice: Choice) -> list[Cell]:
    option = choice.option
    return [
        *(model, choice.why, option.case, option.size_bytes, option.smaller),
        None if option.latency_s is None else 1e3 * option.latency_s,
        *(option.speedup, option.energy_j, option.energy_source, option.drop, interval(option.drop_ci95), option.seeds),
        *(settings_text(option.settings), option.command),
    ]

"""Accept what is measured now as snapshots and accepted ratios: python -m bench.bless [options] [options of pytest].

--case ID accepts one case and no other; * stands for anything, and it may be given again.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from msgspec.structs import replace

from fixtures.allocator import fix_allocator
from fixtures.findings import FAIL
from fixtures.machine import machine_class, machine_facts
from fixtures.record import Results, read_results
from fixtures.speed import Speed
from fixtures.thresholds import Rules, read_rules
from fixtures.timing_baseline import Ratios, TimingBaseline, measured_ratios
from gnn.atomic_file import write_atomically
from gnn.errors import GnnError, SettingError
from gnn.leftovers import temporary_folder

ROOT = Path(__file__).parents[1]
RULES = Path(__file__).with_name("thresholds.toml")
TIMING = Path(__file__).with_name("timing")
SHOWN = 3


def check_clean(status: str) -> None:
    """Raise `SettingError` when `git status --porcelain` lists anything: what is accepted must belong to a commit."""
    files = [line[3:] for line in status.splitlines()]
    if files:
        some = ", ".join(files[:SHOWN]) + (", ..." if len(files) > SHOWN else "")
        raise SettingError(
            f"{len(files)} files differ from the last commit ({some}); commit or remove them first, so that "
            "what is accepted belongs to a commit"
        )


def check_machine_class(name: str, folder: Path, *, new: bool) -> None:
    """Raise `SettingError` when ratios would be those of another class of machines than the ones that are kept."""
    known = sorted(path.stem for path in folder.glob("*.json"))
    if name in known and new:
        raise SettingError(f"machine class {name} has a baseline already; leave --new-machine-class out")
    if name not in known and not new:
        kept = ", ".join(known) or "no class at all"
        raise SettingError(
            f"this machine is of class {name}, and ratios of latencies are kept for {kept}; add this class with "
            "--new-machine-class, or leave ratios as they are with --snapshots-only"
        )


def blessed(looks: Sequence[Results], kept: Ratios) -> Ratios:
    """The ratios that are kept from now on: those of cases that did not fail, of speeds, and of all that did not run.

    Each is the median over the looks, which are runs in processes of their own: what a process finds in memory where
    moves a ratio by up to a per cent.
    """
    rules = read_rules(RULES)
    sound = [record for record in looks[0].cases if record.gate.status != FAIL]
    found = [look_ratios(look, rules) for look in looks]
    new = {
        name: {
            metric: statistics.median(look[name][metric] for look in found if metric in look.get(name, {}))
            for metric in ratios
        }
        for name, ratios in look_ratios(replace(looks[0], cases=sound), rules).items()
    }
    return {**kept, **new}


def look_ratios(look: Results, rules: Rules) -> Ratios:
    """The ratios of one run: those of its cases, and those of training and decoding to their peers."""
    speeds = [Speed(**speed) for speed in look.speeds]
    return measured_ratios(look.cases, rules.timings) | measured_ratios(speeds, rules.speeds)


def run_suite(arguments: Sequence[str], results: Path) -> int:
    """Run the suite; with --snapshot-update it leaves the snapshots of cases that fail or do not run as they are.

    Raises `SettingError` for a run that did not end by itself.
    """
    command = [sys.executable, "-m", "pytest", "bench", "-n", "auto", "--results", str(results), *arguments]
    status = subprocess.run(command, cwd=ROOT, check=False).returncode  # noqa: S603
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) or not results.exists():
        raise SettingError(f"the suite ended with status {status}, so no ratio was changed; see its output")
    return status


def update_ratios(looks: Sequence[Results], folder: Path) -> str:
    """Write the ratios of some looks to the file of their machine class, and print first what that changes.

    Returns a sentence about it; raises `SettingError` where the file cannot be written.
    """
    machine = looks[0].machine
    name = machine["class"]
    kept = {case: dict(ratios) for case, ratios in (TimingBaseline.read(folder, name).cases or {}).items()}
    ratios = blessed(looks, kept)
    document = {"machine_class": name, "machine": machine, "cases": ratios}
    print("\n".join(ratio_changes(ratios, kept)), flush=True)
    path = folder / f"{name}.json"
    try:
        write_atomically(path, (json.dumps(document, indent=1, sort_keys=True) + "\n").encode())
    except OSError as error:
        raise SettingError(f"{path} was not written ({error.strerror}); what was there stays as it was") from error
    changed = sum(kept.get(case) != values for case, values in ratios.items())
    return f"{changed} cases of {name} have new ratios, {len(ratios) - changed} keep theirs"


def ratio_changes(ratios: Ratios, kept: Ratios) -> list[str]:
    """A line for each accepted ratio that changes, the largest loss first."""
    changed = []
    for case, values in ratios.items():
        for metric, now in values.items():
            before = kept.get(case, {}).get(metric)
            if before is None:
                changed.append((0.0, f"accepted: {case}: {metric} {now:.4g} (new)"))
            elif before != now:
                change = now / before - 1
                changed.append((change, f"accepted: {case}: {metric} {before:.4g} -> {now:.4g} ({change:+.1%})"))
    return [line for _, line in sorted(changed)] or ["accepted: nothing changes in the ratios"]


def bless(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Check, run, and write; the exit status of the run."""
    status = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, check=True, capture_output=True, text=True)  # noqa: S607
    check_clean(status.stdout)
    if not options.snapshots_only:
        torch.set_num_threads(1)
        facts = machine_facts(options.device, fix_allocator())
        check_machine_class(machine_class(facts), TIMING, new=options.new_machine_class)
    arguments = ["--device", options.device, *arguments]
    with temporary_folder() as folder:
        files = [folder / f"look-{number}.json" for number in range(1 if options.snapshots_only else options.looks)]
        exit_status = run_suite(["--snapshot-update", *arguments], files[0])
        for number, file in enumerate(files[1:], start=2):
            print(f"look {number} of {len(files)}, for the ratios alone", flush=True)
            run_suite(["--gate", "report", *arguments], file)
        if not options.snapshots_only:
            print(update_ratios([read_results(file) for file in files], TIMING))
    print("look at the difference (git diff snapshots bench/timing) and say in the commit why it is right")
    return exit_status


def main() -> int:
    """Parse what is for this command, and leave the rest to pytest."""
    parser = argparse.ArgumentParser(prog="scripts/bless", description=__doc__, allow_abbrev=False)
    parser.add_argument("--new-machine-class", action="store_true", help="keep ratios for this class of machines too")
    parser.add_argument("--snapshots-only", action="store_true", help="leave the ratios of latencies as they are")
    parser.add_argument("--looks", type=int, default=3, help="runs whose median ratios are kept (default: 3)")
    parser.add_argument("--device", default="cpu", help="where models run (default: cpu)")
    options, arguments = parser.parse_known_args()
    if options.looks < 1:
        parser.error(f"--looks is {options.looks}; give 1 or more")
    try:
        return bless(options, arguments)
    except GnnError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())

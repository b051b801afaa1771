"""Whether kills lose anything: python -m bench.proofs.faults [--kills N] [--seed N] [--write].

The suite is run on planted data in a copy of this checkout, again and again, and SIGKILL ends it at random moments.
Every run finds half of the artifacts of those before it, builds the others, and writes results; some accept what they
measure. After each kill every artifact is read and checked, and every file that was there before; at the end an
undisturbed run on the same cache must leave nothing behind, and give the model files of one with a cache of its own.
"""

import argparse
import contextlib
import itertools
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from bench.proofs.page import machine_line, markdown_table, write_section
from bench.proofs.suite_runs import FAULTS, FINISHED, ROOT
from gnn import storage
from gnn.artifacts import ArtifactStore, read_artifact
from gnn.case import Case
from gnn.compression import Dense
from gnn.leftovers import PREFIX, temporary_folder
from gnn.tasks import DataSource
from gnn.trial import RunContext, Trial

PAGE = ROOT / "docs" / "reliability.md"
COPIED = ("bench", "fixtures", "gnn", "snapshots", "tests", "conftest.py", "pyproject.toml")
TASK, MODEL, SEEDS = "cora-node", "spline", 3
CASES = (
    f"bench/test_baselines.py::test_baseline[planted-{TASK}.{MODEL}.dense]",
    f"bench/test_pruning.py::test_pruning[planted-{TASK}.{MODEL}.global.s0.9.ft]",
)
KINDS = ("one worker", "the controller", "all processes", "all processes, while accepting")
# At once, each with a checkout and a cache of its own.
PROOFS = 2
# A case's memory is that of a fresh process, which takes half of a run: one kind of runs has to clean up after it.
MEASURES_MEMORY = "all processes"
BRIEF = "hurry invent_memory"
# Before that no process has imported anything; acceptance writes near the end.
EARLIEST_S, ACCEPTING_FROM = 0.5, 0.6
# A run that lost a process may go on or end by itself, so all of it ends a moment later.
AFTERMATH_S = 2.0
HANG_GUARD_S = 1800.0
OURS = (PREFIX, "gnn-memory-alone-", "pymp-", "tmp")


@dataclass
class Tally:
    """What was counted: runs that were killed, by what was, and the files that were looked at after each."""

    kills: Counter[str] = field(default_factory=Counter)
    found: int = 0
    damaged: int = 0
    lost: int = 0
    left: int = 0


class Suite:
    """A copy of this checkout in a folder, which runs use together with a temporary folder and a results file."""

    def __init__(self, folder: Path) -> None:
        self.checkout, self.temporary, self.results = folder / "checkout", folder / "t", folder / "results.json"
        self.temporary.mkdir(parents=True)
        self.checkout.mkdir()
        for name in COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, self.checkout / name)

    def start(self, cache: Path, *options: str, faults: str = BRIEF) -> subprocess.Popen[bytes]:
        """Start a run in a session of its own; comparisons of latencies are brief, as nothing is said about them."""
        planted = ("--data", "planted", "--profile", "paper", "--seeds", str(SEEDS), "-p", FAULTS, *CASES)
        command = (sys.executable, "-m", "pytest", "-n", "2", *planted, "--results", str(self.results), *options)
        own = {"GNN_CACHE": str(cache), "TMPDIR": str(self.temporary), "GNN_FAULT": faults}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        return subprocess.Popen(  # noqa: S603
            command,
            cwd=self.checkout,
            env=environment | own,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def run(self, cache: Path, *options: str) -> float:
        """Run to the end, undisturbed, and return how many seconds that took; raises `RuntimeError` when it broke."""
        start_s = time.monotonic()
        status = self.start(cache, *options).wait(HANG_GUARD_S)
        if status not in FINISHED or json.loads(self.results.read_text())["exit_status"] != status:
            raise RuntimeError(f"an undisturbed run ended with {status}")
        return time.monotonic() - start_s

    def leftovers(self) -> list[Path]:
        """What runs made for a while and did not remove; files of code that PyG generates stay after any run."""
        parts = self.results.parent.glob("**/.*.part")
        return [*parts, *(path for path in self.temporary.iterdir() if path.name.startswith(OURS))]


class Proof:
    """Kills runs that share a cache, and counts what the kills did to it and to the files beside it."""

    def __init__(self, suite: Suite, cache: Path, draw: random.Random, duration_s: float) -> None:
        self.suite, self.cache, self.draw, self.duration_s, self.tally = suite, cache, draw, duration_s, Tally()

    def kill_a_run(self, kind: str) -> None:
        """Let one run lose a process, or all, at a random moment, and look at what is there then."""
        accepting = "accepting" in kind
        for path in self.artifacts():
            if self.draw.random() < 0.5:
                path.unlink()
        if accepting:
            self._accept_less()
        watched = [*(self.suite.checkout / "snapshots").glob("*.json"), self.suite.results]
        before = {*watched, *self.artifacts()}
        faults = "hurry" if kind == MEASURES_MEMORY else BRIEF
        process = self.suite.start(self.cache, *(["--snapshot-update"] if accepting else []), faults=faults)
        earliest_s = ACCEPTING_FROM * self.duration_s if accepting else EARLIEST_S
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(self.draw.uniform(earliest_s, self.duration_s))
        if process.poll() is None:
            self.tally.kills[kind] += 1
        self._kill(process, kind)
        self._look(before)

    def artifacts(self) -> list[Path]:
        """The files of the store, in one order."""
        return sorted((self.cache / "artifacts").glob("*.artifact"))

    def _accept_less(self) -> None:
        """Take a seed from what was accepted of these cases, so that accepting writes their files."""
        for case in CASES:
            path = self.suite.checkout / "snapshots" / f"{case.partition('[')[2][:-1]}.json"
            document = json.loads(path.read_text())
            for values in (document["seeds"], document["task_sha256"]):
                values.pop("0", None)
            path.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")

    def _kill(self, process: subprocess.Popen[bytes], kind: str) -> None:
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            if kind == "one worker":
                self.draw.choice(psutil.Process(process.pid).children() or [process]).kill()
            elif kind == "the controller":
                process.kill()
            if not kind.startswith("all"):
                time.sleep(self.draw.uniform(0, AFTERMATH_S))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        # The others are no children of this process; while one of them lives it may write.
        deadline_s = time.monotonic() + HANG_GUARD_S
        while _group_lives(process.pid) and time.monotonic() < deadline_s:
            time.sleep(0.01)

    def _look(self, before: set[Path]) -> None:
        self.tally.left += len(self.suite.leftovers())
        artifacts = self.artifacts()
        self.tally.found += len(artifacts)
        self.tally.damaged += sum(not _is_whole(path) for path in artifacts)
        self.tally.lost += sum(not (path.exists() and _is_whole(path)) for path in before - {*artifacts})


def _group_lives(group: int) -> bool:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                return True
    return False


def _is_whole(path: Path) -> bool:
    try:
        if path.suffix == ".artifact":
            read_artifact(path)
        else:
            json.loads(path.read_text())
    except (OSError, ValueError):
        return False
    return True


def model_files(cache: Path, folder: Path) -> list[bytes]:
    """The model file of each seed, of the weights that a cache holds."""
    run_context = RunContext(ArtifactStore(cache), {TASK: DataSource("planted")})
    case = Case(TASK, MODEL, Dense()).on(run_context.sources[TASK])
    for seed in range(SEEDS):
        path = folder / f"{seed}.model"
        storage.save(Trial(case, seed, run_context).base.model, path, model_name=MODEL, task=case.task)
    return [(folder / f"{seed}.model").read_bytes() for seed in range(SEEDS)]


def prove(kills: int, seed: int, folder: Path) -> tuple[list[str], bool, dict[str, Any]]:
    """Kill so many runs; the row of the table, whether all is as promised, and the results of the last run."""
    suite, alone, shared = Suite(folder), folder / "alone", folder / "shared"
    proof = Proof(suite, shared, random.Random(seed), suite.run(alone, "--snapshot-update"))  # noqa: S311
    expected, start_s = model_files(alone, folder), time.monotonic()
    kinds = itertools.cycle(KINDS)
    # A run that ends before its moment comes is not killed, and another one is.
    while (done := proof.tally.kills.total()) < kills:
        left_s = (time.monotonic() - start_s) / max(1, done) * (kills - done)
        print(f"seed {seed}, {done}/{kills}: {proof.tally}, about {left_s:.0f} s left", file=sys.stderr, flush=True)
        proof.kill_a_run(next(kinds))
    suite.run(shared)
    after, same = len(suite.leftovers()), model_files(shared, folder) == expected
    tally = proof.tally
    row = [
        str(seed),
        ", ".join(f"{count} {kind}" for kind, count in tally.kills.items()),
        *map(str, (tally.found, tally.damaged, tally.lost)),
        f"{tally.left} after the kills, {after} after the next run",
        "the same, bit for bit" if same else "OTHERS",
    ]
    return row, same and not (tally.damaged or tally.lost or after), json.loads(suite.results.read_text())


def main() -> int:
    """Kill runs, print what came of them, and write it down when asked; 1 when anything was lost or left."""
    parser = argparse.ArgumentParser(prog="scripts/prove-faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="runs that are killed (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments (default: 0)")
    parser.add_argument("--write", action="store_true", help="put the result into docs/reliability.md")
    options = parser.parse_args()
    with temporary_folder() as folder, ThreadPoolExecutor(PROOFS) as pool:
        share = math.ceil(options.kills / PROOFS)
        seeds = range(options.seed, options.seed + PROOFS)
        rows, kept, results = zip(*pool.map(lambda seed: prove(share, seed, folder / str(seed)), seeds), strict=True)
    headers = ("seed", "killed", "artifacts found", "damaged", "lost", "leftovers", "model files")
    text = f"{machine_line(results[0])}. {PROOFS * share} killed runs:\n\n{markdown_table(headers, rows)}"
    print(text)
    if options.write:
        write_section("prove-faults", text, PAGE)
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())

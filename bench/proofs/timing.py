"""Whether ratios of latencies hold beside others: python -m bench.proofs.timing [--repetitions N] [--write].

The suite measures five cases with two workers while two other processes train, and alone, one after the other. Every
ratio of a busy run is compared with the median of the quiet ones.
"""

import argparse
import contextlib
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence

from bench.proofs.page import machine_line, markdown_table, write_section
from bench.proofs.suite_runs import SuiteRun, repeated, run_suite

SELECTION = ("bench/test_structured.py", "-k", "structured.s0.8.ft", "--profile", "ci", "--seeds", "1")
ALLOWED = 0.02
TRAINERS = 2
Ratios = Mapping[str, Sequence[float]]


@contextlib.contextmanager
def trainers(count: int) -> Iterator[None]:
    """Have so many neighbours train on this machine, from the first line to the last."""
    command = (sys.executable, "-m", "bench.proofs.trainer")
    with contextlib.ExitStack() as stack:
        neighbours = [stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE)) for _ in range(count)]  # noqa: S603
        for neighbour in neighbours:
            stack.callback(neighbour.kill)
        for neighbour in neighbours:
            assert neighbour.stdout is not None  # noqa: S101  (it is a pipe)
            if not neighbour.stdout.readline():
                raise RuntimeError("a trainer ended before it trained")
        yield
        if ended := [neighbour for neighbour in neighbours if neighbour.poll() is not None]:
            raise RuntimeError(f"{len(ended)} of {count} trainers ended while the suite measured beside them")


def by_case(runs: Sequence[SuiteRun]) -> dict[str, list[float]]:
    """The ratios of every case, run after run."""
    return {case: [run.ratios()[case] for run in runs] for case in sorted(runs[0].ratios())}


def deviations(quiet: Sequence[float], busy: Sequence[float]) -> list[float]:
    """How far each busy ratio is from the median of the quiet ones, as a share of it."""
    middle = statistics.median(quiet)
    return [ratio / middle - 1 for ratio in busy]


def table(quiet: Ratios, busy: Ratios) -> str:
    """A row for every case, and how many ratios were as close as asked."""
    rows = []
    for case, ratios in busy.items():
        off, alone = deviations(quiet[case], ratios), deviations(quiet[case], quiet[case])
        close = sum(abs(share) <= ALLOWED for share in off)
        rows.append(
            [
                case,
                f"{statistics.median(quiet[case]):.3f} ({min(alone):+.1%} to {max(alone):+.1%})",
                f"{statistics.median(ratios):.3f} ({min(off):+.1%} to {max(off):+.1%})",
                f"{statistics.pstdev(off):.2%}",
                f"{close} of {len(off)}",
            ]
        )
    headers = ("case", "quiet: median ratio (range)", "busy: median (range against quiet)", "std", "within 2%")
    return markdown_table(headers, rows)


def main() -> None:
    """Run both conditions, print what came of them, and write it down when asked."""
    parser = argparse.ArgumentParser(prog="scripts/prove-timing", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=20, help="busy runs (default: 20)")
    parser.add_argument("--quiet-runs", type=int, default=5, help="quiet runs to compare with (default: 5)")
    parser.add_argument("--write", action="store_true", help="put the result into docs/measurement.md")
    options = parser.parse_args()
    quiet = list(repeated("quiet", options.quiet_runs, lambda _: run_suite("-n", "0", *SELECTION)))
    with trainers(TRAINERS):
        busy = list(repeated("busy", options.repetitions, lambda _: run_suite("-n", "2", *SELECTION)))
    text = "\n\n".join(
        [
            f"{machine_line(busy[0].results)}. {len(busy)} runs with `-n 2` beside {TRAINERS} trainers, "
            f"{len(quiet)} quiet serial runs, each in a process of its own:",
            table(by_case(quiet), by_case(busy)),
        ]
    )
    print(text)
    if options.write:
        write_section("prove-timing", text)


if __name__ == "__main__":
    main()

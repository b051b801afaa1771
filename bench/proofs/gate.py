"""How often the gate is wrong: python -m bench.proofs.gate [--unchanged N] [--planted N] [--write].

The same commit is run again and again, as CI does, and may never be red; then a slowdown of 5% and the loss of a point
of accuracy are planted, and every run should be red because of it.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from bench.proofs.page import machine_line, markdown_table, write_section
from bench.proofs.suite_runs import SuiteRun, repeated, run_suite

LATENCY = ("bench/test_structured.py", "-n", "0", "--profile", "ci", "--gate", "strict", "-k")
ACCURACY = ("bench/test_pruning.py", "-n", "0", "--profile", "paper", "--gate", "strict", "-k")
SLOWED, LESS_ACCURATE = "cora-node.spline.structured.s0.8.ft", "cora-node.spline.global.s0.9.ft"


@dataclass(frozen=True)
class Experiment:
    """Runs of one kind, and the metric for which they should be red; none for runs that should be green."""

    title: str
    runs: Sequence[SuiteRun]
    metric: str = ""

    @property
    def right(self) -> int:
        """Runs that ended as they should, and where they should be red, for the right reason."""
        if not self.metric:
            return sum(not run.is_red for run in self.runs)
        return sum(run.is_red and bool(run.reasons(self.metric)) for run in self.runs)

    @property
    def decided(self) -> int:
        """Runs of which the gate was sure: "fail", and not only "not-measured", which strict turns red too."""
        return sum(record["gate"]["status"] == "fail" for run in self.runs for record in run.results["cases"])

    @property
    def row(self) -> list[str]:
        """A line of the table, with one sentence of the gate as an example."""
        wanted = "red" if self.metric else "green"
        said = next((reason for run in self.runs for reason in run.reasons(self.metric or "speedup.compression")), "")
        sure = str(self.decided) if self.metric else "-"
        return [self.title, f"{self.right} of {len(self.runs)} {wanted}", sure, said]


def main() -> None:
    """Run all experiments, print what came of them, and write it down when asked."""
    parser = argparse.ArgumentParser(prog="scripts/prove-gate", description=__doc__)
    parser.add_argument("--unchanged", type=int, default=50, help="runs of the unchanged commit (default: 50)")
    parser.add_argument("--planted", type=int, default=20, help="runs with each fault (default: 20)")
    parser.add_argument("--case", default=SLOWED, help=f"the latency case (default: {SLOWED})")
    parser.add_argument("--write", action="store_true", help="put the result into docs/measurement.md")
    options = parser.parse_args()
    latency, accuracy = (*LATENCY, options.case), (*ACCURACY, LESS_ACCURATE)
    unchanged = list(repeated("unchanged", options.unchanged, lambda _: run_suite(*latency)))
    slowed = list(repeated("slowed", options.planted, lambda _: run_suite(*latency, fault="slow_compressed")))
    worse = list(
        repeated("less accurate", options.planted, lambda n: run_suite(*accuracy, fault="lose_a_point", draw=n))
    )
    experiments = (
        Experiment(f"{options.case}, unchanged, 5 seeds", unchanged),
        Experiment(f"{options.case}, compressed path 5% slower", slowed, "speedup.compression"),
        Experiment(f"{LESS_ACCURATE}, a point less accurate, 10 seeds", worse, "accuracy"),
    )
    headers = ("experiment", "ended as they should", "sure (fail)", "a sentence of the gate")
    text = "\n\n".join(
        [
            f"{machine_line(unchanged[0].results)}. Every run is a process of its own, under `--gate strict`:",
            markdown_table(headers, [experiment.row for experiment in experiments]),
        ]
    )
    print(text)
    if options.write:
        write_section("prove-gate", text)


if __name__ == "__main__":
    main()

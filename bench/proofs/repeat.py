"""Whether cases give the same results again: python -m bench.proofs.repeat RESULTS [--share S] [--seed N] [--write].

A share of the cases of a results file, drawn at random, is trained, compressed and judged anew from an empty cache.
Accuracies, sparsities, counts and bytes of every seed are compared to the last bit.
"""

import argparse
import math
import random
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.proofs.page import machine_line, markdown_table, write_section
from bench.proofs.suite_runs import run_suite
from fixtures.record import read_document
from gnn.errors import GnnError

# Everything of a case that does not depend on how fast a machine is, seed by seed.
REPEATED = ("by_seed", "accuracy", "other_scores", "size_bytes", "layer_sparsity", "epochs", "best_epoch")


def drawn(cases: Sequence[str], share: float, seed: int) -> list[str]:
    """A share of the cases, rounded up, drawn by a seed; in the order of the file."""
    chosen = set(random.Random(seed).sample(list(cases), math.ceil(share * len(cases))))  # noqa: S311  (no secret)
    return [case for case in cases if case in chosen]


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[list[str]]:
    """A row for every field of a case that is not what it was: the case, the field, both values."""
    return [
        [before["id"], name, str(before.get(name)), str(after.get(name))]
        for name in REPEATED
        if before.get(name) != after.get(name)
    ]


def report(before: Mapping[str, Any], after: Mapping[str, Any], chosen: Sequence[str], seed: int) -> str:
    """What was drawn and run again, and every field that differs."""
    old, new = ({record["id"]: record for record in results["cases"]} for results in (before, after))
    lacking = [[case, "not run", "", ""] for case in chosen if case not in new]
    rows = lacking + [row for case in chosen if case in new for row in differences(old[case], new[case])]
    seeds = sum(len(old[case]["seeds"]) for case in chosen)
    same = len(chosen) - len({row[0] for row in rows})
    first, commit = before["machine"]["class"], before["commit"]["sha"] or "that git did not name"
    said = (
        f"{machine_line(after)}. {len(chosen)} of {len(old)} cases ({seeds} seeds), drawn with seed {seed}, from an "
        f"empty cache: **{same} of {len(chosen)} are the same to the last bit** in {', '.join(REPEATED)}. "
        f"The first run: {first}, commit {commit[:9]}. Drawn were: {', '.join(chosen)}."
    )
    return said if not rows else f"{said}\n\n{markdown_table(('case', 'field', 'first', 'again'), rows)}"


def main() -> None:
    """Draw, run again, print what came of it, and write it down when asked."""
    parser = argparse.ArgumentParser(prog="scripts/prove-repeat", description=__doc__)
    parser.add_argument("results", type=Path, help="a results file of the suite, as --results writes it")
    parser.add_argument("--share", type=float, default=0.1, help="of the cases, run again (default: 0.1)")
    parser.add_argument("--seed", type=int, default=None, help="what cases are drawn with (default: any, printed)")
    parser.add_argument("--write", action="store_true", help="put the result into docs/measurement.md")
    options = parser.parse_args()
    if not 0 < options.share <= 1:
        parser.error(f"--share {options.share} is no share of the cases; give more than 0, at most 1, such as 0.1")
    try:
        before, _ = read_document(options.results)
    except GnnError as error:
        parser.error(str(error))
    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    chosen = drawn([record["id"] for record in before["cases"]], options.share, seed)
    print(f"{len(chosen)} cases, drawn with --seed {seed}: {', '.join(chosen)}", flush=True)
    settings = ("--profile", before["profile"], "--protocol", before["protocol"], "--gate", "report", "-n", "auto")
    seeds = () if before["seeds"] is None else ("--seeds", str(before["seeds"]))
    cases = [argument for case in chosen for argument in ("--case", case)]
    text = report(before, run_suite(*settings, *seeds, *cases, empty_cache=True).results, chosen, seed)
    print(text)
    if options.write:
        write_section("prove-repeat", text)


if __name__ == "__main__":
    main()

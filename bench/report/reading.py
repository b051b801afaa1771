"""Results files as one run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from fixtures.record import Results, read_results
from gnn.errors import GnnError


def read_run(paths: Sequence[Path]) -> Results:
    """Read results files as one run, whose cases are those of all of them.

    Raises:
        GnnError: A file is no results file or has no case, two of them have the same case, or they are of different
            machines, protocols, profiles or data.
    """
    runs = {path: read_results(path) for path in paths}
    for path, run in runs.items():
        if not run.cases:
            raise GnnError(f"{path} holds no case; run the suite with a selection that has some")
    (first, run), *others = runs.items()
    seen = {record.id: first for record in run.cases}
    for path, other in others:
        for name, mine, theirs in _facts(run, other):
            if mine != theirs:
                raise GnnError(
                    f"{first} and {path} are of two runs: {name} is {mine!r} and {theirs!r}; give one at a time"
                )
        if twice := sorted(record.id for record in other.cases if record.id in seen):
            raise GnnError(f"{twice[0]} is in {seen[twice[0]]} and in {path}; give every case once")
        seen |= {record.id: path for record in other.cases}
        run = _joined(run, other)
    return run


def _facts(one: Results, other: Results) -> list[tuple[str, Any, Any]]:
    names = ("protocol", "profile", "versions")
    facts = [(name, getattr(one, name), getattr(other, name)) for name in names]
    facts.append(("the class of machines", one.machine.get("class"), other.machine.get("class")))
    both = sorted(one.data.keys() & other.data.keys())
    return facts + [(f"the data of {task}", one.data[task].sha256, other.data[task].sha256) for task in both]


def _joined(one: Results, other: Results) -> Results:
    return msgspec.structs.replace(
        one,
        cases=sorted([*one.cases, *other.cases], key=lambda record: record.id),
        data=one.data | other.data,
        speeds=[*one.speeds, *other.speeds],
        broken=[*one.broken, *other.broken],
        files=one.files | other.files,
        wall_s=None if one.wall_s is None or other.wall_s is None else one.wall_s + other.wall_s,
    )

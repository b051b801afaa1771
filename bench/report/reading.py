"""Results files as one run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from fixtures.merging import join
from fixtures.record import Results, read_document
from fixtures.same_run import difference
from gnn.errors import GnnError


def read_run(paths: Sequence[Path]) -> tuple[dict[str, Any], Results]:
    """Read results files as one run, whose cases are those of all of them.

    Returns:
        All that is in them, as JSON has it, and the part that is known here.

    Raises:
        GnnError: A file is no results file or has no case, two of them have the same case, or they differ in what one
            run has only once, such as its machine, protocol, profile, code or data.
    """
    read = {path: read_document(path) for path in paths}
    (first, (document, _)), *others = read.items()
    for other, (theirs, _) in others:
        if differs := difference(document, theirs):
            name, one, two = differs
            raise GnnError(f"{first} and {other} are of two runs: {name} is {one} and {two}; give one at a time")
    seen: dict[str, Path] = {}
    for path, (_, results) in read.items():
        if not results.cases:
            raise GnnError(f"{path} holds no case; run the suite with a selection that has some")
        for case in (record.id for record in results.cases):
            if case in seen:
                raise GnnError(f"{case} is in {seen[case]} and in {path}; give every case once")
            seen[case] = path
    whole = join([document for document, _ in read.values()]) if others else document
    return whole, msgspec.convert(whole, Results)


# Under the other protocol the data of some tasks is another, and machines, rules and gates do not decide a score.
_MAY_DIFFER = ("protocol", "rules_sha256", "gate", "profile_cases", "of", "tests_sha256", "machine", "data")


def read_paper_run(path: Path, clean: Mapping[str, Any]) -> tuple[dict[str, Any], Results]:
    """Read the run under the paper's protocol that stands beside a clean one.

    Args:
        path: Its results file.
        clean: All that is in the results file of the clean run.

    Returns:
        The same as `read_run`.

    Raises:
        GnnError: It is no results file, not of the paper's protocol, or of other code, versions, profile or --seeds.
    """
    document, results = read_run([path])
    for protocol, found in (("clean", clean.get("protocol")), ("paper", results.protocol)):
        if found != protocol:
            raise GnnError(f"--paper-protocol {path} stands beside a clean run: found is {found}, asked is {protocol}")
    if differs := difference(clean, document, but_for=_MAY_DIFFER):
        name, one, two = differs
        raise GnnError(f"--paper-protocol {path} is of another run: {name} is {one} in the clean one, and {two} there")
    return document, results

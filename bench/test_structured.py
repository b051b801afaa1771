"""Whole channels and input features removed: matrices that really shrink, beside what Torch-Pruning can trace."""

from collections.abc import Callable

import pytest

from bench.findings import really_shrunk
from bench.matrix import STRUCTURED
from bench.traced_groups import EXPECTED, FORMS, SAME, traced_groups
from fixtures.cases import SeededCase
from fixtures.gate import Judge
from fixtures.session import BenchSession

CASES = STRUCTURED


def test_structured(seeded_case: SeededCase, judge: Judge) -> None:
    """A narrow model has the weights that were asked for, and is as fast and accurate as its thresholds say."""
    judge(seeded_case, findings=[really_shrunk])


@pytest.mark.profiles("ci", "paper")
@pytest.mark.parametrize("form", FORMS)
def test_torch_pruning(form: str, bench_session: BenchSession, record_property: Callable[[str, object], None]) -> None:
    """Where Torch-Pruning cuts a channel as we do, group by group, and what it does where it does not.

    The expected outcomes are those of the pinned version; another one may be able to do more.
    """
    pytest.importorskip("torch_pruning", reason="Torch-Pruning is not installed; pip install torch-pruning==1.6.1")
    with bench_session.machine_lock.shared(f"tracing {form}"):
        outcomes = traced_groups(form, bench_session.laboratory)
    record_property("tracing", {"tool": "Torch-Pruning", "form": form, "groups": outcomes})
    agreed = sum(outcome == SAME for outcome in outcomes.values())
    assert outcomes == EXPECTED[form], f"{form}: {agreed} of {len(outcomes)} groups agree"

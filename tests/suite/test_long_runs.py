"""One run, and the same in two shards of which one was killed and resumed: joined, they give the same records."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from fixtures.merging import main as merge
from fixtures.same_run import results_bytes, without_timings
from tests.forked_commands import forks
from tests.suite.running import ROOT

SUITE = """
import gnn
import my_package

SHORT = gnn.Recipe(*[gnn.TrainingSettings(0.01, 5e-4, epochs=2, patience=2, batch_size=64)] * 2)
PAPERS, OTHER = gnn.node_task("papers", my_package.data), gnn.node_task("other", my_package.papers())
NET = gnn.Model("net", build=lambda: my_package.Net(8), recipe=SHORT)


@gnn.cases(PAPERS, NET, gnn.Dense(), gnn.GlobalMagnitude(0.5), gnn.GlobalMagnitude(0.8), seeds=2)
@gnn.cases(OTHER, NET, gnn.Dense(), gnn.PostTraining(8), seeds=1)
@gnn.cases(OTHER, NET, gnn.GlobalMagnitude(0.9), seeds=1, at_least={"accuracy.mean": 2.0})
def test_net(case, judge):
    judge(case, not_timed="time is no part of this")
"""
# SIGKILL hits the process that writes the journal, as soon as two cases are in it. What a machine takes for a case is
# not compared, so its training is measured briefly.
CONFTEST = """
import os, pathlib, signal

def pytest_configure():
    from fixtures import resources

    resources.TRAINING_WINDOW_S = 0.01

def pytest_runtest_logstart():
    journal = pathlib.Path(os.environ.get("KILL_WITH", "nowhere"))
    if journal.exists() and journal.read_bytes().count(b"\\n") == 3:
        os.kill(os.getpid(), signal.SIGKILL)
"""
# The first shard has the case that cannot pass.
DURATIONS = {"test_net.py::test_net[other.net.global.s0.9]": 3, "test_net.py::test_net[papers.net.dense]": 0.5}
RED = "other.net.global.s0.9: accuracy.mean is "


class Runs:
    """Runs of that suite, each a fork of one process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copyfile(ROOT / "docs" / "examples" / "my_package.py", folder / "my_package.py")
        (folder / "test_net.py").write_text(SUITE)
        (folder / "conftest.py").write_text(CONFTEST)
        (folder / "durations.json").write_text(json.dumps(DURATIONS))
        # PyG writes modules into the folder for temporary files, and no part of the code are those of hidden folders.
        (folder / ".tmp").mkdir()

    def run(self, *commands: str) -> list[tuple[int, str]]:
        """The exit status and what is printed of runs with these options; `kill` in front of them kills the run."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "GNN_"))}
        places = {"PYTHONPATH": f"{ROOT}{os.pathsep}{self.folder}", "TMPDIR": str(self.folder / ".tmp")}
        plugins = ("-p", "fixtures.plugin", "-p", "no:hypothesispytest")
        outcomes = []
        with forks("pytest", "torch_geometric.nn", environment=own) as fork:
            for command in commands:
                options = command.removeprefix("kill ").split()
                journal = f"{options[-1]}.journal" if command.startswith("kill") else "nowhere"
                done = fork("pytest", *plugins, *options, folder=self.folder, KILL_WITH=journal, **places)
                outcomes.append((done.returncode, done.stdout + done.stderr))
        return outcomes

    def document(self, name: str) -> dict[str, Any]:
        return json.loads((self.folder / name).read_text())


def repeated(document: dict[str, Any]) -> bytes:
    return results_bytes(without_timings(document))


def test_a_run_in_parts_gives_the_records_of_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(tmp_path)
    whole, killed, resumed, second, again, refused = runs.run(
        "--results whole.json",
        "kill --shard 1/2 --results 1.json",
        "--shard 1/2 --resume 1.json -n 1",
        "--shard 2/2 --results 2.json",
        "--shard 2/2 --resume 2.json --results again.json",
        "--resume 2.json --seeds 1",
    )
    assert (whole[0], killed[0], resumed[0], second[0]) == (1, -9, 1, 0), (whole, killed, resumed, second)
    assert RED in whole[1]
    assert RED in resumed[1]
    # Of the two that were noted one had failed.
    assert "1 case taken from 1.json.journal, 2 of 6 tests left to run" in resumed[1]
    assert "judged 3 of 6 cases" in resumed[1]
    assert not (tmp_path / "1.json.journal").exists()

    monkeypatch.chdir(tmp_path)
    assert merge(["2.json", "1.json", "-o", "merged.json"]) == 0
    one_run, merged = runs.document("whole.json"), runs.document("merged.json")
    assert repeated(merged) == repeated(one_run)
    assert [name for name in merged if name != "shards"] == [*one_run]
    assert (merged["exit_status"], merged["judged_cases"], len(merged["cases"])) == (1, 6, 6)
    assert merged["failed"] == ["test_net.py::test_net[other.net.global.s0.9]"]

    # Nothing was left to run, which is no failure.
    assert again[0] == 0, again
    assert "3 cases taken from 2.json, 0 of 6 tests left to run" in again[1]
    again_document = runs.document("again.json")
    assert repeated(again_document) == repeated(runs.document("2.json"))
    assert again_document["wall_s"] >= sum(again_document["durations_s"].values()) > 0
    assert refused[0] == pytest.ExitCode.USAGE_ERROR
    expected = "--resume cannot take what 2.json holds: --seeds is 1 in this run, and was None in that one"
    assert f"ERROR: {expected}" in refused[1].splitlines()

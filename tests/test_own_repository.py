"""A repository of somebody's own, by public names alone: accepted, green, red for each regression; the examples."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

import gnn
from fixtures.memory_alone import STATUS
from gnn.models import build_model
from tests.forked_commands import Run
from tests.installed import PLUGIN, ROOT, run
from tests.test_documentation import blocks

EXAMPLES = ROOT / "docs" / "examples"
OPTIONS = ("-p", "no:hypothesispytest", "-p", "no:cacheprovider")
# Short trainings; each case is one that a planted regression is for.
TESTS = """
import os
import extend
import gnn
import my_package
from extend import RINGS, RING_NET, Columns

FAULT = os.environ.get("FAULT", "")
SHORT = gnn.TrainingSettings(0.01, 5e-4, epochs=15, patience=15, batch_size=64)
RECIPE = gnn.Recipe(SHORT, SHORT)
if FAULT:  # each of them in another case
    my_package.data.x[::7] = 0
    extend.FusedMeanConvolution.forward = lambda self, x, edge_index: self.linear(x)

DATA = gnn.node_task("papers", my_package.data)
OTHER = gnn.node_task("other", my_package.papers())
WIDE = gnn.Model("net", build=lambda: my_package.Net(40 if FAULT else 32), recipe=RECIPE)
POOR = gnn.Model("poor", build=lambda: my_package.Net(32), recipe=RECIPE, fit=(lambda *_: None) if FAULT else None)
SLOW = gnn.Model("rings", build=extend.RingNet, recipe=RECIPE)


@gnn.cases(DATA, WIDE, gnn.Dense(), seeds=1)
@gnn.cases(OTHER, WIDE, gnn.GlobalMagnitude(0.5), seeds=1, at_most={} if FAULT else {"size_ratio": 0.9})
@gnn.cases(OTHER, POOR, gnn.PostTraining(8), seeds=1, at_least={"accuracy.mean": 0.5})
@gnn.cases(RINGS, SLOW, Columns(0.25), seeds=1)
def test_mine(case, judge):
    judge(case)


@gnn.cases(OTHER, "gcn", Columns(0.0 if FAULT else 0.25), seeds=1)
def test_method(case, judge):
    judge(case)
"""
# Latencies are compared as briefly as can be, which nothing here judges. Starting the server of processes in which
# memory is measured takes as long as all that a run is about.
SPARED = """
import os

def pytest_configure():
    from {package} import measurement, memory_alone, resources

    brief = measurement.BlockProtocol(warm_ups=0, calls=1, minimum_blocks=6, maximum_blocks=6)
    measurement.FIRST_LOOK = dict.fromkeys(measurement.RATIOS, brief)
    resources.TRAINING_WINDOW_S = 0.01
    if "WITH_MEMORY" in os.environ:
        return
    found = memory_alone.MemoryAlone(peak_rss_bytes=2, before_bytes=1, reason=None)
    memory_alone.MemoryMeter.measure = lambda *_, **__: found
"""
BROKEN = "import nowhere_to_be_found\n"
BAD = """
import time
import gnn
import my_package
import torch

TASK = gnn.node_task("bad", my_package.data)
SHORT = gnn.Recipe(*[gnn.TrainingSettings(0.01, 0.0, epochs=2, patience=2)] * 2)


def explode(module, task, seed):
    with torch.no_grad():
        next(module.parameters()).fill_(torch.nan)


def hang(module, task, seed):
    while True:
        time.sleep(0.01)


NAN = gnn.Model("nan", build=lambda: my_package.Net(4), fit=explode)
HANGS = gnn.Model("hangs", build=lambda: my_package.Net(4), fit=hang)
SHAPE = gnn.Model("shape", build=lambda: my_package.Net(4), call=lambda m, data: m(data.x, data.edge_index)[:, :2])
GOOD = gnn.Model("good", build=lambda: my_package.Net(4), recipe=SHORT)


@gnn.cases(TASK, NAN, gnn.Dense(), seeds=1)
@gnn.cases(TASK, HANGS, gnn.Dense(), seeds=1)
@gnn.cases(TASK, SHAPE, gnn.Dense(), seeds=1)
@gnn.cases(TASK, GOOD, gnn.Dense(), seeds=1)
def test_bad(case, judge):
    judge(case)
"""
# What turns red when all is planted that `TESTS` knows.
RED = (
    r"\npapers\.net\.dense: task_sha256 of seed 0 is ",
    r"\nother\.net\.global\.s0\.5: encoded_bytes is ",
    r"\nother\.net\.global\.s0\.5: \d+ checks were judged, \d+ when it was accepted with 1 seeds",
    r"\nother\.poor\.post-training\.int8: accuracy\.mean is ",
    r"\nrings\.rings\.columns\.s0\.25: runtime_difference is ",
    r"\nother\.gcn\.columns\.s0: other\.gcn\.columns\.s0 compressed no tensor at all",
)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Somebody's repository in git, with the model, the data, the method and the rule of the examples."""
    for name in ("my_package.py", "extend.py"):
        shutil.copyfile(EXAMPLES / name, tmp_path / name)
    (tmp_path / "conftest.py").write_text(PLUGIN + SPARED.format(package="pytest_gnn"))
    (tmp_path / "test_mine.py").write_text(TESTS)
    (tmp_path / ".gitignore").write_text("*\n!*.py\n!snapshots/*\n")
    who = ("-c", "user.name=A", "-c", "user.email=a@b.c")
    for command in (("init", "-q"), ("add", "-A"), (*who, "commit", "-q", "-m", "first")):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)  # noqa: S607
    return tmp_path


def run_tests(
    run_installed: Run, folder: Path, installed: Path | None, *arguments: str, **variables: str
) -> tuple[int, str]:
    """The exit status and what is printed of a run of somebody's tests, with what is installed or from a clone."""
    paths = os.pathsep.join(map(str, (installed or ROOT, folder)))
    plugin = () if installed else ("-p", "fixtures.plugin")
    if not installed:
        (folder / "conftest.py").write_text(SPARED.format(package="fixtures"))
    done = run_installed(paths, folder, "pytest", *plugin, *OPTIONS, *arguments, **variables)
    return done.returncode, done.stdout + done.stderr


def test_a_repository_is_accepted_green_and_red_for_each_kind_of_regression(
    run_installed: Run, installed: Path, repository: Path
) -> None:
    paths = f"{installed}{os.pathsep}{repository}"
    done = run_installed(paths, repository, "pytest_gnn.bless", "test_mine.py", "--snapshots-only", "-n", "0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((repository / "snapshots").glob("*.json"))) == 5

    # As a process that nobody has prepared, with all that is measured.
    command = ("-m", "pytest", *OPTIONS, "test_mine.py", "--results", "results.json")
    # The name of a server's socket may have 107 characters.
    with tempfile.TemporaryDirectory() as short:
        done = run(installed, repository, *command, PYTHONPATH=paths, TMPDIR=short, WITH_MEMORY="yes")
    shown = done.stdout + done.stderr
    assert done.returncode == 0, shown
    assert "GREEN under --gate enforce: 5 cases (" in shown
    assert "5 passed" in shown.splitlines()[-1]
    document = json.loads((repository / "results.json").read_text())
    assert document["data"]["papers"]["source"] == "given"
    assert all(case["gate"]["checks"] >= 8 for case in document["cases"])
    assert (document["profile_cases"], document["judged_cases"]) == (5, 5)
    # A process of its own can build no other of these models.
    (memory,) = [case["memory_bytes"] for case in document["cases"] if case["id"].startswith("other.gcn.")]
    assert (memory["peak_rss"] is not None) == STATUS.exists(), memory

    status, shown = run_tests(run_installed, repository, installed, "test_mine.py", FAULT="all")
    assert status == 1
    for sentence in RED:
        assert re.search(sentence, shown), (sentence, shown)
    assert "RED under --gate enforce: 5 failed" in shown
    # From a clone the same file is judged by the same code: one kind is enough.
    status, shown = run_tests(run_installed, repository, None, "test_mine.py", "--case", "rings.*", FAULT="all")
    assert status == 1
    assert re.search(RED[4], shown), shown


def test_what_is_wrong_with_one_file_or_model_is_named_and_the_others_go_on(
    run_installed: Run, installed: Path, repository: Path
) -> None:
    (repository / "test_mine.py").write_text(BROKEN)
    (repository / "test_bad.py").write_text(BAD)
    status, shown = run_tests(run_installed, repository, installed, "--case-timeout", "2")
    assert status == 1, shown
    for sentence in (
        "bad.nan.dense: the validation loss of Net on bad is nan after its own training with seed 0",
        "bad.hangs.dense: a seed ran for longer than --case-timeout 2 s and was stopped",
        "bad.shape.dense: Net gives a tensor of shape [600, 2] for 600 nodes of bad, which needs [600, 4]",
        "No module named 'nowhere_to_be_found'",
    ):
        assert sentence in shown, (sentence, shown)
    assert "passed bad.good.dense" in shown
    assert "RED under --gate enforce: 4 failed" in shown


def test_readme_puts_a_model_under_the_gate_in_ten_lines_which_the_action_runs(installed: Path, tmp_path: Path) -> None:
    """The step of action.yml that is called run runs README's block, as a runner would."""
    ((_, code),) = [block for block in blocks("python") if block[0] == "README.md" and "@gnn.cases" in block[1]]
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    (tmp_path / "test_mine.py").write_text(code)
    shutil.copyfile(EXAMPLES / "my_package.py", tmp_path / "my_package.py")
    (script,) = re.findall(
        r"^ {4}- id: run\n(?: {6}.*\n)*? {6}run: \|\n((?: {8}.*\n)+)", (ROOT / "action.yml").read_text(), re.MULTILINE
    )
    variables = {"PATHS": "test_mine.py", "PROFILE": "quick", "GATE": "enforce", "RUNNER_TEMP": str(tmp_path)}
    variables |= {"GITHUB_OUTPUT": str(tmp_path / "output"), "PYTEST_ADDOPTS": "--seeds 1"}
    variables |= {"PYTEST_XDIST_AUTO_NUM_WORKERS": "1"}
    program = f"{installed.parents[2] / 'bin'}{os.pathsep}{os.environ['PATH']}"
    code = f"import subprocess; raise SystemExit(subprocess.run(['bash', '-ec', {script!r}]).returncode)"
    done = run(installed, tmp_path, "-c", code, PATH=program, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout.splitlines()[-1]
    assert len(json.loads((tmp_path / "results.json").read_text())["cases"]) == 3


@pytest.mark.parametrize("name", ["compress_my_model", "deploy"])
def test_an_example_runs_as_it_stands(name: str, run_installed: Run, installed: Path, tmp_path: Path) -> None:
    model = build_model("gin", {"in_channels": 9, "out_channels": 2})
    gnn.save(model, tmp_path / "model.safetensors", task="bbbp")
    arguments = ("model.safetensors",) if name == "deploy" else ()
    done = run_installed(f"{installed}{os.pathsep}{EXAMPLES}", tmp_path, name, *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout

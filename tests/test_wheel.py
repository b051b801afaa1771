"""What is installed: two packages with names of their own, and a plugin that nobody notices who has no cases."""

import json
import os
from pathlib import Path
from zipfile import ZipFile

import pytest
import torch

from gnn import storage
from gnn.runtime import compile_inference
from tests.forked_commands import Run
from tests.gnn.five_models import random_model, small_tasks
from tests.installed import PLUGIN, ROOT, run

INSTALLED_AS = {"gnn": "gnn", "fixtures": "pytest_gnn"}
# Fixtures of the user's own that are called as ours are, and a test that is marked as ours may be.
TESTS = """
import pytest

@pytest.fixture
def measure():
    return 1

@pytest.fixture
def judge(measure):
    return measure + 1

@pytest.fixture
def gate(judge):
    return judge + 1

def test_own(gate, tmp_path):
    assert gate == 3

@pytest.mark.parametrize("number", [3, 1, 2])
def test_numbers(number, benchmark):
    benchmark.pedantic(lambda: number, rounds=2)
"""
# What reads and runs a model file needs PyTorch, NumPy, safetensors and zstandard, and the filelock that PyTorch needs.
LOAD = """
import sys
from pathlib import Path

NOT_NEEDED = {
    "pytest", "_pytest", "pytest_benchmark", "xdist", "syrupy", "torch_geometric", "sklearn", "scipy", "rdkit",
    "psutil", "pynvml", "msgspec", "tabulate",
}

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in NOT_NEEDED:
            raise ImportError(f"{name} should not be needed")

sys.meta_path.insert(0, Blocker())

import torch
import gnn
from gnn import runtime, storage
from gnn.training import evaluate

folder = Path(sys.argv[1])
assert Path(gnn.__file__).is_relative_to(sys.argv[2]), gnn.__file__
task = torch.load(folder / "task.pt", weights_only=False)
model = storage.load(folder / "model").model
infer = runtime.compile_inference(model, task)
found = infer(), evaluate(model, task)
assert "torch._dynamo" not in sys.modules, "PyTorch's compiler takes seconds to import"
torch.testing.assert_close(found[0], torch.load(folder / "logits.pt"))
"""


def test_the_wheel_holds_two_packages_and_every_file_of_both(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        (facts,) = {name.split("/")[0] for name in archive.namelist()} - set(INSTALLED_AS.values())
    assert facts.endswith(".dist-info")
    assert held == {
        str(Path(package, path.relative_to(ROOT / folder)))
        for folder, package in INSTALLED_AS.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_nothing_loads_by_itself(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        assert not [name for name in archive.namelist() if name.endswith("entry_points.txt")]


def shown_and_left(
    run_installed: Run, installed: Path, folder: Path, workers: str, conftest: str
) -> tuple[list[str], set[str]]:
    """What a run of somebody's tests prints, without times and folder, and the files that are there then."""
    folder.mkdir()
    (folder / "conftest.py").write_text(conftest)
    (folder / "test_mine.py").write_text(TESTS)
    done = run_installed(installed, folder, "pytest", "-n", workers, "-v", "-p", "no:cacheprovider", "--rootdir", ".")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.split(" in ")[0] for line in done.stdout.split("--- benchmark")[0].splitlines()]
    # What is left of the line above its table is as wide as the table.
    said = [line for line in lines if not line.startswith("rootdir: ") and line.strip("-")]
    return said, {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("workers", ["1"])
def test_a_run_without_cases_is_what_it_would_be_without_the_plugin(
    run_installed: Run, installed: Path, tmp_path: Path, workers: str
) -> None:
    loaded = shown_and_left(run_installed, installed, tmp_path / "loaded", workers, PLUGIN)
    assert loaded == shown_and_left(run_installed, installed, tmp_path / "absent", workers, "")
    assert any("test_own PASSED" in line or "PASSED test_mine.py::test_own" in line for line in loaded[0])


def test_the_options_are_those_of_the_suite(run_installed: Run, installed: Path, tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(PLUGIN)
    done = run_installed(installed, tmp_path, "pytest", "--help")
    assert done.returncode == 0, done.stderr
    for option in ("--profile", "--case", "--gate", "--seeds", "--results", "--against"):
        assert f"\n  {option}" in done.stdout, option
    assert "--tables" not in done.stdout


def test_the_folder_may_be_loaded_under_both_names(run_installed: Run, tmp_path: Path) -> None:
    (tmp_path / "pytest_gnn").symlink_to(ROOT / "fixtures")
    (tmp_path / "conftest.py").write_text(PLUGIN)
    (tmp_path / "test_mine.py").write_text(TESTS)
    paths = f"{ROOT}{os.pathsep}{tmp_path}"
    done = run_installed(paths, tmp_path, "pytest", "-q", "-p", "fixtures.plugin", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_model_file_runs_where_nothing_is_installed_that_only_measures(installed: Path, tmp_path: Path) -> None:
    task = small_tasks()["gin"]
    model = random_model("gin", task)
    storage.save(model, tmp_path / "model", model_name="gin", task=task.name)
    torch.save(task, tmp_path / "task.pt")
    torch.save(compile_inference(model, task)(), tmp_path / "logits.pt")
    done = run(installed, tmp_path, "-c", LOAD, str(tmp_path), str(installed))
    assert done.returncode == 0, done.stderr


CASES = """
import pathlib
import gnn
import pytest

@gnn.cases("cora-node", "spline", gnn.Dense(), seeds={"quick": 1})
def test_case(case, judge, bench_session):
    suite = bench_session.suite_of(pathlib.Path(__file__))
    pytest.fail(f"{case.case.id} of {suite.bless}", pytrace=False)

def test_other():
    pass
"""
HIDING = """
@pytest.fixture
def measure():
    return None
"""


@pytest.fixture
def own_suite(tmp_path: Path) -> Path:
    """A repository with one case, in a folder of its own."""
    (tmp_path / "conftest.py").write_text(PLUGIN)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "test_mine.py").write_text(CASES)
    return tmp_path


@pytest.mark.parametrize("workers", ["1"])
def test_cases_of_another_repository_have_a_header_their_lines_and_a_verdict(
    run_installed: Run, installed: Path, own_suite: Path, workers: str
) -> None:
    options = ("--data", "planted", "-n", workers, "--results", "results.json")
    done = run_installed(installed, own_suite, "pytest", *options)
    assert done.returncode == 1, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert "data: cora-node: PLANTED (generated), not the real dataset: asked for with --data planted" in lines
    assert any(line.startswith("[1/1] ") and line.endswith("; failed planted-cora-node.spline.dense") for line in lines)
    verdict, sentence = lines[-3:-1]
    assert verdict.startswith("RED under --gate enforce: 1 failed, 1 of them without a result")
    assert sentence == "planted-cora-node.spline.dense of python -m pytest_gnn.bless mine"
    assert json.loads((own_suite / "results.json").read_text())["profile_cases"] == 1
    assert not [path for path in own_suite.iterdir() if path.name.startswith("gnn-own-tests")]


@pytest.mark.parametrize("workers", ["1"])
def test_a_fixture_that_hides_what_a_case_is_judged_with_is_named(
    run_installed: Run, installed: Path, own_suite: Path, workers: str
) -> None:
    file = own_suite / "mine" / "test_mine.py"
    file.write_text(CASES + HIDING)
    done = run_installed(installed, own_suite, "pytest", "--data", "planted", "-n", workers)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout + done.stderr
    assert f"ERROR: the fixture 'measure' in {file} hides the one of that name that " in done.stderr
    assert "INTERNALERROR" not in done.stdout


def test_cases_that_are_all_deselected_leave_nothing(run_installed: Run, installed: Path, own_suite: Path) -> None:
    done = run_installed(installed, own_suite, "pytest", "-k", "other", "--data", "planted", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "suite: profile" not in done.stdout
    assert "gate" not in done.stdout
    left = {path.name for path in own_suite.iterdir() if not path.name.startswith(("pytest-of", "torchinductor"))}
    assert left <= {"conftest.py", "mine", "__pycache__", ".benchmarks"}


def test_a_page_of_other_cases_is_made_from_their_results(run_installed: Run, installed: Path, tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(PLUGIN)
    done = run_installed(installed, tmp_path, "pytest", "--report", "page")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "write --results FILE, and then python -m bench.report FILE -o FOLDER" in done.stderr
    assert not (tmp_path / "page").exists()


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_path_that_does_not_exist_is_named(run_installed: Run, installed: Path, tmp_path: Path, workers: str) -> None:
    (tmp_path / "conftest.py").write_text(PLUGIN)
    done = run_installed(installed, tmp_path, "pytest", "test_nowhere.py", "-n", workers)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "file or directory not found: test_nowhere.py" in done.stderr

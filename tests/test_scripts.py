"""What the scripts make of their arguments."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = ["-m", "pytest", "-p", "fixtures.plugin", "--override-ini", "testpaths=bench", "-n", "auto"]


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        ([], []),
        (["--results", "../a b.json", "-k", "x or y"], ["--results=../a b.json", "-k", "x or y"]),
        (["--data-root=x", "--report", "y", "z"], ["--data-root=x", "--report=y", "z"]),
        (["--resume"], ["--resume"]),
    ],
)
def test_no_value_of_an_option_is_taken_for_a_path_to_tests(
    tmp_path: Path, given: list[str], passed: list[str]
) -> None:
    """Where a file is there, pytest would take its folder for the root, without the configuration of the suite."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    shutil.copy(ROOT / "pyproject.toml", tmp_path / ".venv" / "installed.toml")
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    said = subprocess.run([tmp_path / "scripts" / "bench", *given], check=True, capture_output=True, text=True).stdout
    assert said.splitlines() == [*OURS, *passed]

"""The wheel as somebody has it: built once for all workers, installed in a folder of its own, used from elsewhere."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

ROOT = Path(__file__).parents[1]
BUILT_FROM = ("gnn", "fixtures", "pyproject.toml", "README.md", "LICENSE")
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
PLUGIN = 'pytest_plugins = ["pytest_gnn"]\n'


def build_and_install(folder: Path) -> Path:
    """The wheel in `folder`, which is installed beside it; the first of several processes builds it.

    It is built from a copy, since building leaves files beside what it builds from.
    """
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "installed").exists():
            for name in BUILT_FROM:
                source, copy = ROOT / name, folder / "source" / name
                copy.parent.mkdir(parents=True, exist_ok=True)
                if source.is_dir():
                    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copyfile(source, copy)
            options = ("--no-deps", "--no-build-isolation", "--wheel-dir", str(folder))
            subprocess.run([*PIP, "wheel", *options, str(folder / "source")], check=True)
            (wheel,) = folder.glob("*.whl")
            target = ("--no-deps", "--no-index", "--target", str(folder / "installed"))
            subprocess.run([*PIP, "install", *target, str(wheel)], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def run(paths: object, folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A process of Python in somebody else's folder, which finds this project only where `paths` say."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "GNN_"))}
    environment = {**own, "PYTHONPATH": str(paths), "TMPDIR": str(folder), **variables}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)

"""The wheel as somebody has it: built once for all workers, installed in a venv of its own, used from elsewhere."""

import contextlib
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from venv import EnvBuilder

from filelock import FileLock

from tests.forked_commands import Run, forks

ROOT = Path(__file__).parents[1]
BUILT_FROM = ("gnn", "fixtures", "pyproject.toml", "README.md", "LICENSE")
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
PLUGIN = 'pytest_plugins = ["pytest_gnn"]\n'


def build_and_install(folder: Path) -> Path:
    """The wheel in `folder`, which is installed in a venv beside it; the first of several processes builds it.

    It is built from a copy, since building leaves files beside what it builds from. What it depends on takes minutes to
    install, so the venv has a path to where this process has it; what is installed there by a `.pth` is not seen.
    """
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "venv").exists():
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
            EnvBuilder(with_pip=False, symlinks=True).create(folder / "venv")
            into = (*PIP, "--python", str(folder / "venv" / "bin" / "python"), "install", "--no-deps", "--no-index")
            subprocess.run([*into, str(wheel)], check=True)
            (site_of(folder) / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    (wheel,) = folder.glob("*.whl")
    return wheel


def site_of(folder: Path) -> Path:
    """Where the wheel in `folder` is installed."""
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    return site


def own_environment() -> dict[str, str]:
    """The variables of this process without those that are for it alone."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "GNN_"))}


def run(installed: Path, folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A process of the venv's Python in somebody else's folder."""
    environment = {**own_environment(), "PYTHONPATH": str(installed), "TMPDIR": str(folder), **variables}
    command = [str(installed.parents[2] / "bin" / "python"), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@contextlib.contextmanager
def in_forks(installed: Path) -> Iterator[Run]:
    """A function that runs a module in a folder, where this project is found only where its first argument says.

    Each time it is a fork of a process of the venv's Python, which has imported what this project depends on.
    """
    python = str(installed.parents[2] / "bin" / "python")
    with forks("pytest", "torch_geometric.nn", environment=own_environment(), python=python) as fork:

        def run(
            paths: object, folder: Path, module: str, *arguments: str, **variables: str
        ) -> subprocess.CompletedProcess[str]:
            places = {"PYTHONPATH": str(paths), "TMPDIR": str(folder)}
            return fork(module, *arguments, folder=folder, **places, **variables)

        yield run

"""What unit tests share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from gnn.native.library import cache_folder
from tests.forked_commands import Run
from tests.installed import build_and_install, in_forks, site_of

# How long an example takes is no part of any test: a machine may be busy.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def golden_folder() -> Path:
    """The folder of reference tensors; without it the golden tests cannot say anything."""
    folder = Path(os.environ.get("GNN_GOLDEN", Path(__file__).parents[2] / "shared" / "golden"))
    if not folder.is_dir():
        pytest.skip(f"no reference tensors in {folder}; set GNN_GOLDEN to their folder")
    return folder


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The wheel of this project, built once for all workers."""
    base = tmp_path_factory.getbasetemp()
    return build_and_install((base if worker_id == "master" else base.parent) / "wheel")


@pytest.fixture(scope="session")
def installed(wheel: Path) -> Path:
    """The folder of a venv that the wheel is installed in, and nothing else."""
    return site_of(wheel.parent)


@pytest.fixture(scope="session")
def run_installed(installed: Path) -> Iterator[Run]:
    """Runs modules as somebody who has installed the wheel does; see `tests.installed.in_forks`."""
    with in_forks(installed) as run:
        yield run


@pytest.fixture(autouse=True)
def same_random_numbers() -> None:
    """A test that draws weights without a seed of its own draws the same ones in every run and in every order."""
    # That of the processor alone: for GPUs `torch.manual_seed` takes a traceback too, in every test.
    torch.default_generator.manual_seed(0)


def pytest_configure() -> None:
    """Leave the other processors to the other workers of the test run: threads that wait for one are busy too.

    Kernels are compiled once for all tests, also where a test has a home folder of its own.
    """
    torch.set_num_threads(1)
    os.environ.setdefault("GNN_KERNEL_CACHE", str(cache_folder()))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the whole suite's tests first: one worker gets them, and none is left alone with them at the end."""
    items.sort(key=lambda item: "suite" not in item.path.parts and item.path.stem != "test_own_repository")

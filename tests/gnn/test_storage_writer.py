"""A full disk and a killed writer leave the old model or none, and nothing that would be taken for one."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gnn import storage
from gnn.errors import StorageError
from gnn.models import GraphModel, build_model

SETTINGS = {"in_channels": 300, "out_channels": 3, "hidden_channels": 8}
# The limit of the process on the size of files stands for a full disk: the write itself fails, after a part of it.
WRITER = """
import os, resource, signal, sys
from pathlib import Path
import torch
import gnn.atomic_file
from gnn import storage
from gnn.models import build_model

path, fault = Path(sys.argv[1]), sys.argv[2]
if fault == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

class Half:
    def __init__(self, stream): self.stream = stream
    def __enter__(self): return self
    def __exit__(self, *error): self.stream.close()
    def write(self, content):
        self.stream.write(content[:len(content) // 2])
        self.stream.flush()
        os.kill(os.getpid(), signal.SIGKILL)

if fault == "killed":
    fdopen = os.fdopen
    gnn.atomic_file.os.fdopen = lambda handle, mode: Half(fdopen(handle, mode))
torch.manual_seed(1)
model = build_model("spline", {"in_channels": 300, "out_channels": 3, "hidden_channels": 8})
try:
    storage.save(model, path, model_name="spline", task="new")
except OSError as error:
    sys.exit(f"OSError {error.strerror}")
"""


def write(path: Path, fault: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WRITER, str(path), fault]
    return subprocess.run(command, cwd=Path(__file__).parents[2], check=False, capture_output=True, text=True)


def old_model(path: Path) -> GraphModel:
    torch.manual_seed(0)
    model = build_model("spline", SETTINGS)
    storage.save(model, path, model_name="spline", task="old")
    return model


def assert_old(path: Path, model: GraphModel) -> None:
    loaded = storage.load(path)
    assert loaded.task == "old"
    assert all(torch.equal(tensor, loaded.model.state_dict()[name]) for name, tensor in model.state_dict().items())


def test_a_full_disk_leaves_the_old_model_and_nothing_else(tmp_path: Path) -> None:
    model = old_model(tmp_path / "m")
    assert (tmp_path / "m").stat().st_size > 4096
    outcome = write(tmp_path / "m", "full")
    assert (outcome.returncode, outcome.stderr) == (1, "OSError File too large\n")
    assert_old(tmp_path / "m", model)
    assert list(tmp_path.iterdir()) == [tmp_path / "m"]


def test_a_killed_writer_leaves_the_old_model_and_half_a_file_that_is_refused(tmp_path: Path) -> None:
    model = old_model(tmp_path / "m")
    assert write(tmp_path / "m", "killed").returncode == -signal.SIGKILL
    assert_old(tmp_path / "m", model)
    (half,) = set(tmp_path.iterdir()) - {tmp_path / "m"}
    assert half.stat().st_size > 4096
    with pytest.raises(StorageError, match="is cut off"):
        storage.load(half)

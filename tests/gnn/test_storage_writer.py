"""Another process reads a model; if it writes, a full disk or a kill leaves the old model and nothing like another."""

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
from gnn.errors import StorageError
from gnn.models import build_model

full, killed = (Path(argument) for argument in sys.argv[1:])

class Half:
    def __init__(self, stream): self.stream = stream
    def __enter__(self): return self
    def __exit__(self, *error): self.stream.close()
    def write(self, content):
        part = content[:len(content) // 2] if len(content) > 8192 else content
        self.stream.write(part)
        self.stream.flush()
        if part is not content:
            os.kill(os.getpid(), signal.SIGKILL)

loaded = storage.load(full)
print(loaded.model_name, loaded.task, sum(p.double().sum().item() for p in loaded.model.parameters()), flush=True)
torch.manual_seed(1)
model = build_model("spline", {"in_channels": 300, "out_channels": 3, "hidden_channels": 8})
if os.fork() == 0:
    fdopen = os.fdopen
    gnn.atomic_file.os.fdopen = lambda handle, mode: Half(fdopen(handle, mode))
    storage.save(model, killed, model_name="spline", task="new")
print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    storage.save(model, full, model_name="spline", task="new")
except StorageError as error:
    print(error)
"""


def old_model(path: Path) -> GraphModel:
    torch.manual_seed(0)
    model = build_model("spline", SETTINGS)
    storage.save(model, path, model_name="spline", task="old")
    return model


def assert_old(path: Path, model: GraphModel) -> None:
    loaded = storage.load(path)
    assert loaded.task == "old"
    assert all(torch.equal(tensor, loaded.model.state_dict()[name]) for name, tensor in model.state_dict().items())


def test_another_process_reads_the_file_and_its_failed_writes_leave_the_old_model(tmp_path: Path) -> None:
    full, killed = tmp_path / "full" / "m", tmp_path / "killed" / "m"
    for path in (full, killed):
        path.parent.mkdir()
        model = old_model(path)
        assert path.stat().st_size > 4096
    command = [sys.executable, "-c", WRITER, str(full), str(killed)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], check=True, stdout=subprocess.PIPE, text=True)
    weights = sum(parameter.double().sum().item() for parameter in model.parameters())
    refused = f"{full} cannot be written (File too large); name a file that you may write to"
    assert done.stdout.splitlines() == [f"spline old {weights}", f"{-signal.SIGKILL}", refused]
    for path in (full, killed):
        assert_old(path, model)
    assert list(full.parent.iterdir()) == [full]
    (half,) = set(killed.parent.iterdir()) - {killed}
    assert half.stat().st_size > 4096
    with pytest.raises(StorageError, match="is cut off"):
        storage.load(half)
    old_model(killed)
    assert list(killed.parent.iterdir()) == [killed]


def test_a_string_is_a_path(tmp_path: Path) -> None:
    path = tmp_path / "m"
    assert storage.save(build_model("spline", SETTINGS), str(path), model_name="spline", task="old")
    assert storage.load(str(path)).task == "old"
    assert storage.file_sizes(str(path)) == storage.file_sizes(path)


def test_a_path_that_cannot_be_written_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as error:
        storage.save(build_model("spline", SETTINGS), tmp_path, model_name="spline", task="old")
    assert str(error.value) == f"{tmp_path} cannot be written (Is a directory); name a file that you may write to"

"""PyTorch's own compilers, of the model as PyG's layers compute it."""

import shutil
import tempfile
from pathlib import Path
from typing import Any
from weakref import finalize

import psutil
import torch
from torch import Tensor

from bench.peers.registry import peer
from bench.runtime.subject import Subject
from gnn.errors import SettingError
from gnn.runtime import Inference


@peer("torch.compile, 1 thread", expensive=True)
def one_thread(subject: Subject) -> Inference:
    """The program that the compiler writes for one thread."""
    return _compiled(subject)


@peer("torch.compile, all cores", expensive=True)
def all_cores(subject: Subject) -> Inference:
    """The program that it writes for as many threads as there are cores, which is another one; it runs on all."""
    before, cores = torch.get_num_threads(), psutil.cpu_count(logical=False) or 1
    if cores == 1:
        raise SettingError("this machine has one core")
    inference = _on_threads(cores, before, _compiled(subject))
    inference()
    return inference


def _compiled(subject: Subject) -> Inference:
    torch.compiler.reset()
    module = torch.compile(subject.eager, dynamic=False)
    tensors = subject.tensors
    return torch.inference_mode()(lambda: module(*tensors))


def _on_threads(count: int, before: int, inference: Inference) -> Inference:
    def on_all() -> Tensor:
        torch.set_num_threads(count)
        try:
            return inference()
        finally:
            torch.set_num_threads(before)

    return on_all


@peer("AOTInductor, 1 thread", expensive=True)
def ahead_of_time(subject: Subject) -> Inference:
    """The same compiled ahead of time into a file, from which it is loaded."""
    with torch.no_grad():
        exported = torch.export.export(subject.eager, subject.tensors)
    folder = tempfile.mkdtemp(prefix="gnn-peer-")
    inductor: Any = torch._inductor
    path = inductor.aoti_compile_and_package(exported, package_path=str(Path(folder) / "model.pt2"))
    loaded, tensors = inductor.aoti_load_package(path), subject.tensors
    finalize(loaded, shutil.rmtree, folder, ignore_errors=True)
    return torch.inference_mode()(lambda: loaded(*tensors))

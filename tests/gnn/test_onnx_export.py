import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch_geometric import nn as pyg

from gnn.compression import PostTraining, Structured, compress
from gnn.errors import SettingError
from gnn.runtime import OnnxFile, export_onnx
from tests.gnn.compiled_checks import ODD_GRAPHS, edges
from tests.gnn.five_models import random_model, small_tasks
from tests.gnn.foreign_models import FEATURES, JumpingGin, ResidualGcn
from tests.gnn.random_graphs import batch_of

MISSING = [name for name in ("onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
needs_onnx = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}; pip install .[peers]")
# In one batch, a graph without nodes and one without edges.
BATCHES = {"many": [5, 1, 0, 7, 3], "one node": [1], "empty": [0, 0]}


class Sage(nn.Module):
    """A mean and a sum over neighbours, over one graph without a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = pyg.SAGEConv(FEATURES, 6), pyg.GraphConv(6, 3)
        self.plain = pyg.GCNConv(3, 3, add_self_loops=False)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.plain(self.second(self.first(x, edge_index).tanh(), edge_index), edge_index)


def run(file: OnnxFile, *arguments: Any) -> Tensor:  # noqa: ANN401
    onnxruntime: Any = importlib.import_module("onnxruntime")
    session = onnxruntime.InferenceSession(str(file.path), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, file.feed(*arguments))[0])


def assert_runs_alike(file: OnnxFile, model: nn.Module, *arguments: Any) -> None:  # noqa: ANN401
    with torch.no_grad():
        expected = model(*arguments)
    atol = 1e-5 * float(expected.abs().max()) if expected.numel() else 0.0
    torch.testing.assert_close(run(file, *arguments), expected, rtol=1e-5, atol=atol)


@needs_onnx
@pytest.mark.parametrize("name", ["gin", "gnnnet", "ness", "spline"])
def test_one_file_answers_for_every_batch(name: str, tmp_path: Path) -> None:
    task = small_tasks()[name]
    model = random_model(name, task)
    prepared = model.prepare(task)
    example = prepared["test"] if isinstance(prepared, dict) else prepared
    file = export_onnx(model, example, tmp_path / "model.onnx")
    assert file.size_bytes == file.path.stat().st_size
    assert_runs_alike(file, model, example)
    for sizes in BATCHES.values() if isinstance(prepared, dict) else ():
        assert_runs_alike(file, model, batch_of(sizes, seed=len(sizes)))


@needs_onnx
@pytest.mark.parametrize("build", [ResidualGcn, JumpingGin, Sage])
@pytest.mark.parametrize("graph", ODD_GRAPHS)
def test_pyg_convolutions_take_their_own_arguments(build: type[nn.Module], graph: str, tmp_path: Path) -> None:
    model = build().eval()
    example = (torch.randn(6, FEATURES), edges((0, 1), (3, 3), (2, 1)), torch.tensor([0, 0, 1, 1, 1, 1]))
    file = export_onnx(model, example[: 2 + (build is not Sage)], tmp_path / "model.onnx")
    nodes, edge_index = ODD_GRAPHS[graph]
    batch = torch.arange(nodes) * 2 // nodes
    assert_runs_alike(file, model, *(torch.randn(nodes, FEATURES), edge_index, batch)[: 2 + (build is not Sage)])


@needs_onnx
@pytest.mark.parametrize("name", ["gin", "gnnnet", "spline"])
def test_integers_stay_codes_of_8_bits(name: str, tmp_path: Path) -> None:
    onnx: Any = importlib.import_module("onnx")
    task = small_tasks()[name]
    model = random_model(name, task)
    prepared = model.prepare(task)
    example = prepared["test"] if isinstance(prepared, dict) else prepared
    integer = compress(model, PostTraining(8), example=(example,)).model
    file = export_onnx(integer, example, tmp_path / "model.onnx")
    held = [onnx.numpy_helper.to_array(part) for part in onnx.load(file.path).graph.initializer]
    matrices = [array for array in held if array.ndim == 2 and array.dtype == np.uint8]
    assert sum(array.size for array in matrices) == sum(p.numel() for p in model.parameters() if p.dim() > 1)
    assert not [array for array in held if array.ndim == 2 and array.dtype == np.float32]
    with torch.no_grad():
        expected, difference = integer(example), run(file, example) - integer(example)
    # A number that lies between two codes may get the other one.
    assert float(difference.abs().mean()) < 2e-3 * float(expected.abs().max())


@needs_onnx
@pytest.mark.parametrize("build", [ResidualGcn, JumpingGin, Sage])
def test_pyg_convolutions_keep_their_codes(build: type[nn.Module], tmp_path: Path) -> None:
    onnx: Any = importlib.import_module("onnx")
    model = build().eval()
    nodes, edge_index = ODD_GRAPHS["unsorted"]
    example = (torch.randn(nodes, FEATURES), edge_index, torch.arange(nodes) * 2 // nodes)[: 2 + (build is not Sage)]
    integer = compress(model, PostTraining(8), example=example).model
    file = export_onnx(integer, example, tmp_path / "model.onnx")
    held = [onnx.numpy_helper.to_array(part) for part in onnx.load(file.path).graph.initializer]
    codes = sum(array.size for array in held if array.ndim == 2 and array.dtype == np.uint8)
    assert codes == sum(p.numel() for p in model.parameters() if p.dim() > 1)
    with torch.no_grad():
        expected = integer(*example)
    assert float((run(file, *example) - expected).abs().max()) < 1e-2 * float(expected.abs().max())


@needs_onnx
def test_a_narrow_model_has_a_small_file(tmp_path: Path) -> None:
    task = small_tasks()["gnnnet"]
    model = random_model("gnnnet", task)
    example = model.prepare(task)["test"]
    narrow = compress(model, Structured(0.5), example=(example,)).model
    sizes = [export_onnx(m, example, tmp_path / "model.onnx").size_bytes for m in (model, narrow)]
    assert sizes[1] < sizes[0]
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = pyg.GATv2Conv(FEATURES, 3)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.conv(x, edge_index)


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


@needs_onnx
@pytest.mark.parametrize(
    ("model", "arguments", "said"),
    [
        (
            Attention(),
            (torch.randn(3, FEATURES), edges((0, 1))),
            "step 'conv' cannot be written in ONNX: GatV2 has no rule",
        ),
        (Branching(), (torch.randn(3, 2),), "Branching cannot be traced, so it has no ONNX form: symbolically traced"),
        (nn.Linear(2, 2).double(), (torch.randn(3, 2),), "is torch.float64, not torch.float32"),
    ],
)
def test_what_has_no_rule_is_refused(
    model: nn.Module, arguments: tuple[Tensor, ...], said: str, tmp_path: Path
) -> None:
    (old := tmp_path / "model.onnx").write_text("old")
    with pytest.raises(SettingError, match=said) as raised:
        export_onnx(model, arguments, old)
    assert "\n" not in str(raised.value)
    assert old.read_text() == "old"


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(SettingError, match=r"needs the package onnx; pip install"):
        export_onnx(nn.Linear(2, 2), torch.randn(3, 2), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())

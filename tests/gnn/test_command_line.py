"""`python -m gnn compress` on somebody's own file."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from torch_geometric.nn.models import GCN

import gnn
from gnn.__main__ import main

MINE = """
import torch
from torch_geometric.data import Data
from torch_geometric.nn.models import GCN

import gnn

labels = torch.arange(90) % 3
edges = torch.stack([torch.arange(90), (torch.arange(90) + 3) % 90])
features = torch.nn.functional.one_hot(labels, 16) + torch.rand(90, 16, generator=torch.Generator().manual_seed(0))
SETTINGS = gnn.TrainingSettings(0.02, 0.0, epochs=10, patience=10)
TASK = gnn.node_task("papers", Data(x=features, edge_index=edges, y=labels), split="random")
MODEL = gnn.Model("net", build=lambda: GCN(16, 8, 2, 3), recipe=gnn.Recipe(SETTINGS, SETTINGS))
"""


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    modules = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("GNN_CACHE", str(tmp_path / "cache"))
    yield
    for name in sys.modules.keys() - modules:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def test_a_file_is_compressed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a command it is run by the test of the documents, where it stands."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_model.py").write_text(MINE)
    limits = ["--max-drop", "0.2", "--max-bytes", "30k", "--budget", "4s", "--seeds", "1"]
    assert main(["compress", "my_model.py", *limits, "-o", "small.safetensors"]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    size = (tmp_path / "small.safetensors").stat().st_size
    *_, again, sentence = shown.out.splitlines()
    assert f"({size:,} of " in sentence
    assert sentence.startswith("small.safetensors is ")
    assert again.startswith("again: gnn.cases(TASK, MODEL, gnn.")
    assert gnn.load(tmp_path / "small.safetensors", build=lambda: GCN(16, 8, 2, 3)).task == "papers"


def test_without_a_command_there_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "compress" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "arguments", "status", "sentence"),
    [
        ("import gnn\n\n1 / 0\n", [], 2, "cannot be imported: line 3: ZeroDivisionError: division by zero"),
        ("import gnn\ndef f(:\n", [], 2, "cannot be imported: line 2: SyntaxError: invalid syntax"),
        (None, [], 2, "is no Python file; give one that defines a gnn.Model and a task"),
        ("import gnn\n", [], 2, "has no model (it has none); choose one of them or a registered one with --model NAME"),
        (f"{MINE}\nOTHER = gnn.Model('other', MODEL.build)\n", [], 2, "has several models (it has MODEL, OTHER)"),
        (MINE, ["--model", "nte"], 2, "has no model 'nte' (it has MODEL); choose one"),
        (MINE, ["--max-drop", "-1"], 2, "max_drop -1.0 must be a number from 0 on"),
        (MINE, ["-o", "."], 2, ". cannot be written; name a file in a folder that you may write to"),
        (MINE, ["--max-bytes", "9", "--budget", "6s", "--seeds", "1"], 1, "has at most 9 bytes"),
    ],
)
def test_bad_input_is_one_sentence_and_a_status(
    source: str | None,
    arguments: list[str],
    status: int,
    sentence: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "mine.py"
    if source is not None:
        file.write_text(source)
    assert main(["compress", str(file), "-o", str(tmp_path / "out.safetensors"), *arguments]) == status
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert sentence in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize("amount", ["30q", "k", "-3k", ""])
def test_amounts_that_are_none_are_refused(amount: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["compress", "mine.py", "-o", "out", f"--max-bytes={amount}"])
    assert f"{amount!r} is no amount; give one such as 30k or 1M" in capsys.readouterr().err

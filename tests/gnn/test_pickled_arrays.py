"""Pickles give arrays, and execute nothing."""

import os
import pickle
from pathlib import Path

import pytest

from gnn.errors import DatasetError
from gnn.tasks import cora
from gnn.tasks.cora import CORA
from gnn.tasks.data_source import DataSource, verify
from gnn.tasks.pickled_arrays import unpickle_arrays


class Touch:
    """Executes a command when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_what_is_no_array_is_refused_and_not_executed(tmp_path: Path, protocol: int) -> None:
    content = pickle.dumps([Touch(tmp_path / "executed")], protocol)
    with pytest.raises(DatasetError, match=r"^a pickle asks for posix\.system, which is not executed; expected arrays"):
        unpickle_arrays(content)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["eval", "getattr", "__import__"])
def test_what_stands_beside_an_admitted_name_is_refused(name: str) -> None:
    with pytest.raises(DatasetError, match=rf"__builtin__\.{name}"):
        unpickle_arrays(f"c__builtin__\n{name}\n.".encode())


def test_files_that_change_after_they_were_compared_are_not_read_again(
    data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in CORA.files:
        (tmp_path / name).write_bytes((data_root / CORA.folder / name).read_bytes())

    def verify_and_change(*_arguments: object) -> object:
        contents = verify(CORA, tmp_path)
        for name in CORA.files:
            (tmp_path / name).write_bytes(pickle.dumps(Touch(tmp_path / "executed")))
        return contents

    monkeypatch.setattr(cora, "verify", verify_and_change)
    tensors = cora._read(DataSource("root", tmp_path))
    assert not (tmp_path / "executed").exists()
    assert tensors.shape == (2708, 1433)
    assert tensors.edge_index.shape == (2, 10556)

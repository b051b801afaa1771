"""A file is the old one or the new one, never half of it."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gnn.atomic_file import replace_file, write_atomically

KILLED_WRITER = """
import os, signal, sys
from pathlib import Path
from gnn.atomic_file import replace_file
with replace_file(Path(sys.argv[1])) as stream:
    stream.write(b"half of the new content")
    stream.flush()
    os.fsync(stream.fileno())
    os.kill(os.getpid(), signal.SIGKILL)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_half_of_it(path: Path, error: type[BaseException]) -> None:
    with replace_file(path) as stream:
        stream.write(b"half")
        raise error


def test_a_new_file_is_written_and_its_parents_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    write_atomically(path, b"content")
    assert path.read_bytes() == b"content"
    assert names(path.parent) == ["file"]


def test_an_old_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"the old content, which is longer")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["file"]


@pytest.fixture(params=[0o077, 0o027, 0o002], ids=lambda mask: f"{mask:03o}")
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_has_the_mode_of_any_other(tmp_path: Path, umask: int) -> None:
    write_atomically(tmp_path / "file", b"")
    assert mode(tmp_path / "file") == 0o666 & ~umask


@pytest.mark.parametrize("given", [0o640, 0o600, 0o664])
@pytest.mark.usefixtures("umask")
def test_a_replaced_file_keeps_its_mode(tmp_path: Path, given: int) -> None:
    path = tmp_path / "file"
    path.touch()
    path.chmod(given)
    with replace_file(path) as stream:
        (part,) = set(tmp_path.iterdir()) - {path}
        assert mode(part) == given
        stream.write(b"new")
    assert (path.read_bytes(), mode(path)) == (b"new", given)


@pytest.mark.parametrize("dangling", [False, True])
def test_the_target_of_a_link_is_written_and_the_link_stays(tmp_path: Path, dangling: bool) -> None:
    target, link = tmp_path / "elsewhere" / "target", tmp_path / "link"
    target.parent.mkdir()
    if not dangling:
        target.write_bytes(b"old")
    link.symlink_to(Path("elsewhere") / "target")
    write_atomically(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert (names(tmp_path), names(target.parent)) == (["elsewhere", "link"], ["target"])


def test_links_in_a_circle_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links"):
        write_atomically(tmp_path / "a", b"new")
    assert (tmp_path / "a").is_symlink()


def test_what_is_no_regular_file_is_written_to(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    write_atomically(path, b"new")
    assert os.read(reader, 10) == b"new"
    os.close(reader)
    assert path.is_fifo()


def test_a_string_is_a_path(tmp_path: Path) -> None:
    write_atomically(str(tmp_path / "file"), b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


def test_readers_see_the_old_file_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with path.open("rb") as reader:
        with replace_file(path) as stream:
            stream.write(b"new")
            stream.flush()
            assert path.read_bytes() == b"old"
        assert path.read_bytes() == b"new"
        assert reader.read() == b"old"  # a reader who came before still reads a whole file


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_error_in_the_block_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(error):
        write_half_of_it(path, error)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_an_error_in_the_block_leaves_no_file_where_none_was(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        write_half_of_it(tmp_path / "file", RuntimeError)
    assert names(tmp_path) == []


def test_a_target_that_cannot_be_replaced_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_atomically(tmp_path / "folder", b"content")
    assert names(tmp_path) == ["folder"]


def kill_a_writer(path: Path) -> None:
    """Start a process that dies by SIGKILL when half of its content is on the disk."""
    command = [sys.executable, "-c", KILLED_WRITER, str(path)]
    writer = subprocess.run(command, cwd=Path(__file__).parents[2], check=False)
    assert writer.returncode == -signal.SIGKILL


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    kill_a_writer(path)
    assert path.read_bytes() == b"old"
    assert len(names(tmp_path)) == 2
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["file"]


def test_a_writer_that_lives_keeps_its_half(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with replace_file(path) as slow:
        write_atomically(path, b"of the quick one")
        slow.write(b"of the slow one")
    assert path.read_bytes() == b"of the slow one"
    assert names(tmp_path) == ["file"]


def test_a_killed_writer_leaves_no_file_where_none_was(tmp_path: Path) -> None:
    kill_a_writer(tmp_path / "file")
    assert not (tmp_path / "file").exists()

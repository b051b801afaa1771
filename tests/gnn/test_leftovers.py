"""What nobody holds is removed; what somebody holds, or another user owns, stays."""

import os
from pathlib import Path

import pytest

from gnn import leftovers
from gnn.leftovers import held, remove_leftovers, temporary_folder


def test_a_folder_is_there_while_the_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers.tempfile, "tempdir", str(tmp_path))
    with temporary_folder() as folder:
        (folder / "file").touch()
        remove_leftovers(tmp_path)
        assert (folder / "file").exists()
    assert list(tmp_path.iterdir()) == []


def test_what_nobody_holds_is_removed_and_other_names_stay(tmp_path: Path) -> None:
    for name in ("gnn-temporary-a", "gnn-temporary-b/c", "another/d"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "gnn-temporary-file").touch()
    with held(tmp_path / "gnn-temporary-b") as there:
        assert there
        remove_leftovers(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["another", "gnn-temporary-b"]
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["another"]


def test_two_may_hold_a_folder_and_the_last_one_keeps_it(tmp_path: Path) -> None:
    folder = tmp_path / "gnn-temporary-a"
    folder.mkdir()
    with held(folder):
        with held(folder):
            pass
        remove_leftovers(tmp_path)
        assert folder.exists()


def test_what_another_user_owns_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gnn-temporary-a").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    remove_leftovers(tmp_path)
    assert (tmp_path / "gnn-temporary-a").exists()


def test_without_locks_files_are_used_and_nothing_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "fcntl", None)
    (tmp_path / "gnn-temporary-a").mkdir()
    with held(tmp_path / "gnn-temporary-a") as there:
        assert there
    remove_leftovers(tmp_path)
    assert (tmp_path / "gnn-temporary-a").exists()


def test_links_are_not_followed_and_pipes_do_not_block(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "gnn-temporary-link").symlink_to("target")
    os.mkfifo(tmp_path / "gnn-temporary-pipe")
    remove_leftovers(tmp_path)
    assert (tmp_path / "target").exists()


def test_a_folder_that_a_run_removes_before_it_is_held_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers.tempfile, "tempdir", str(tmp_path))
    lock, removed = leftovers.fcntl.flock, []

    def removed_first(handle: int, operation: int) -> None:
        if not removed:
            removed.extend(tmp_path.iterdir())
            removed[0].rmdir()
        lock(handle, operation)

    monkeypatch.setattr(leftovers.fcntl, "flock", removed_first)
    with temporary_folder() as folder:
        assert folder.exists()
        assert folder not in removed
    assert list(tmp_path.iterdir()) == []

"""Raw files are looked for in order, compared with their checksums, and never half downloaded."""

import http.client
import io
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gnn.errors import CacheError, DatasetError, SettingError
from gnn.tasks import DataSearch, DataSource, locate_task
from gnn.tasks.data_source import DOWNLOAD_SURPLUS_BYTES, DOWNLOAD_TIMEOUT_S, locate, verify
from tests.gnn.toy_files import CONTENT, REMEDY, TOYS, Publisher, corrupt, downloaded, put_files


def listing(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every path below a folder with its mode, its time of change and its content."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_mode,
            path.stat().st_mtime_ns,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in sorted(folder.rglob("*"))
    }


def test_places_are_tried_in_order(search: DataSearch, publisher: Publisher, tmp_path: Path) -> None:
    publisher.fails_at = "first.bin"
    assert locate(TOYS, search).kind == "planted"
    publisher.fails_at = ""
    in_cache = search.cache / "download" / TOYS.folder
    assert locate(TOYS, search) == DataSource("download", in_cache)
    shared = put_files(search.base.parent / "shared" / "data")
    assert locate(TOYS, search) == DataSource("root", shared)
    local = put_files(search.base / "data")
    assert locate(TOYS, search) == DataSource("root", local)
    named = put_files(tmp_path / "named")
    assert locate(TOYS, replace(search, root=tmp_path / "named")) == DataSource("root", named)
    assert locate(TOYS, replace(search, mode="planted")).kind == "planted"
    assert locate(TOYS, replace(search, mode="real")) == DataSource("root", local)


def test_planted_data_that_was_asked_for_says_so(search: DataSearch, publisher: Publisher) -> None:
    source = locate(TOYS, replace(search, mode="planted"))
    assert source == DataSource("planted", None, "asked for with --data planted")
    assert publisher.fetched == []


def test_an_unknown_mode_is_refused(search: DataSearch) -> None:
    with pytest.raises(SettingError, match=r"^unknown data mode 'fake'; valid are: auto, planted, real$"):
        replace(search, mode="fake")


@pytest.mark.parametrize("mode", ["auto", "real"])
def test_a_named_root_without_the_dataset_is_refused(
    search: DataSearch, publisher: Publisher, tmp_path: Path, mode: str
) -> None:
    put_files(search.base / "data")
    root = tmp_path / "elsewhere"
    with pytest.raises(DatasetError) as caught:
        locate(TOYS, replace(search, mode=mode, root=root))
    path = root / TOYS.folder / "first.bin"
    assert str(caught.value).startswith(f"Toys file {path} is missing, 10 bytes were expected{REMEDY}")
    assert publisher.fetched == []


def remove(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


SECOND = TOYS.files["second.bin"]


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (remove, f"is missing, {SECOND[0]} bytes were expected"),
        (truncate, f"has {SECOND[0] - 3} bytes, {SECOND[0]} were expected"),
        (corrupt, f"is corrupted, sha256 {SECOND[1]} was expected"),
    ],
)
def test_a_bad_file_is_named_with_what_was_expected_and_a_remedy(
    search: DataSearch, publisher: Publisher, damage: Callable[[Path], None], problem: str
) -> None:
    folder = put_files(search.base / "data")
    verify(TOYS, folder)
    damage(folder / "second.bin")
    with pytest.raises(DatasetError) as caught:
        locate(TOYS, search)
    assert str(caught.value).startswith(f"Toys file {folder / 'second.bin'} {problem}{REMEDY}")
    assert str(caught.value).endswith("to download it")
    assert publisher.fetched == []


@pytest.mark.parametrize("fails_at", list(CONTENT))
def test_a_failing_download_falls_back_with_a_reason_and_leaves_nothing(
    search: DataSearch, publisher: Publisher, fails_at: str
) -> None:
    publisher.fails_at = fails_at
    source = locate(TOYS, search)
    assert (source.kind, source.folder) == ("planted", None)
    assert source.reason == (
        f"Toys is in none of {search.base / 'data'}, {search.base.parent / 'shared' / 'data'} and its download "
        "from https://toys.example/raw failed (<urlopen error no route to host>)"
    )
    assert downloaded(search) == []
    assert not (search.cache / "download" / TOYS.folder).exists()


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError("timed out"),
        ConnectionResetError(104, "reset by peer"),
        http.client.IncompleteRead(b"half"),
        http.client.BadStatusLine("nonsense"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_the_network_does_is_a_failed_download(
    search: DataSearch, publisher: Publisher, error: Exception
) -> None:
    publisher.fails_at, publisher.error = "second.bin", error
    assert locate(TOYS, search).kind == "planted"
    with pytest.raises(DatasetError, match=r"download from https://toys\.example/raw failed"):
        locate(TOYS, replace(search, mode="real"))
    assert downloaded(search) == []


def test_real_mode_fails_instead_of_falling_back(search: DataSearch, publisher: Publisher) -> None:
    publisher.fails_at = "second.bin"
    with pytest.raises(DatasetError) as caught:
        locate(TOYS, replace(search, mode="real"))
    assert str(caught.value) == (
        f"{locate(TOYS, search).reason}; name a PyG data root with --data-root, or run with --data planted"
    )


def test_a_download_is_announced_verified_and_used_again(search: DataSearch, publisher: Publisher) -> None:
    lines: list[str] = []
    search = replace(search, announce=lines.append)
    source = locate(TOYS, search)
    assert source == DataSource("download", search.cache / "download" / TOYS.folder)
    assert source.folder is not None
    assert {path.name: path.read_bytes() for path in source.folder.iterdir()} == CONTENT
    assert sorted(downloaded(search)) == sorted(source.folder.iterdir())
    assert lines == ["downloading Toys 1/2: first.bin", "downloading Toys 2/2: second.bin"]
    assert publisher.fetched == [f"https://toys.example/raw/{name}" for name in CONTENT]
    assert publisher.timeouts == [DOWNLOAD_TIMEOUT_S] * 2
    assert locate(TOYS, search) == source
    assert len(publisher.fetched) == len(lines) == 2


def test_a_download_is_read_no_further_than_a_file_may_be_long(
    search: DataSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    class Endless(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            assert size is not None
            assert size >= 0
            asked.append(size)
            return size * b"x"

    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: Endless())
    with pytest.raises(DatasetError, match="is not what was published and was thrown away") as caught:
        locate(TOYS, search)
    most = 25 + DOWNLOAD_SURPLUS_BYTES
    assert str(caught.value.__cause__) == f"https://toys.example/raw/first.bin has more than {most} bytes"
    assert asked == [most + 1]
    assert downloaded(search) == []


def test_what_a_killed_download_left_is_removed_by_the_next(search: DataSearch, publisher: Publisher) -> None:
    left = search.cache / "download" / "Shelf" / "Toys" / ".raw.abc123.part" / "raw"
    left.mkdir(parents=True)
    (left / "first.bin").write_bytes(b"half")
    locate(TOYS, search)
    assert len(publisher.fetched) == 2
    assert sorted(path.name for path in left.parents[1].iterdir()) == [".raw.lock", "raw"]


@pytest.mark.parametrize("mode", ["auto", "real"])
def test_a_lock_that_cannot_be_had_is_no_failure_of_the_network(search: DataSearch, mode: str) -> None:
    lock = search.cache / "download" / "Shelf" / "Toys" / ".raw.lock"
    lock.mkdir(parents=True)
    with pytest.raises(CacheError, match=rf"^{lock} in the cache cannot be used \(Is a directory\)"):
        locate(TOYS, replace(search, mode=mode))


def test_strings_are_paths(search: DataSearch) -> None:
    folder = put_files(search.base / "data")
    named = replace(search, base=str(search.base), cache=str(search.cache))
    assert locate(TOYS, named) == DataSource("root", folder)
    assert verify(TOYS, str(folder)) == CONTENT
    assert locate(TOYS, replace(named, root=str(search.base / "data"))) == DataSource("root", folder)


def test_what_was_compared_is_returned(search: DataSearch) -> None:
    lenient = replace(TOYS, canonical=lambda content: content.replace(b"\r", b""))
    folder = put_files(search.base / "data")
    (folder / "first.bin").write_bytes(b"first\r file\r")
    assert verify(lenient, folder) == CONTENT


def test_a_download_with_wrong_bytes_is_refused_and_leaves_nothing(search: DataSearch, publisher: Publisher) -> None:
    corrupt(publisher.folder / "second.bin")
    with pytest.raises(DatasetError) as caught:
        locate(TOYS, search)
    assert "is not what was published" in str(caught.value)
    assert "--data-root" in str(caught.value)
    assert downloaded(search) == []


def test_the_remedy_for_a_wrong_download_names_a_folder_that_is_there(search: DataSearch, publisher: Publisher) -> None:
    corrupt(publisher.folder / "second.bin")
    with pytest.raises(DatasetError) as caught:
        locate(TOYS, search)
    words = str(caught.value).replace(";", " ").replace(",", " ").split()
    mentioned = [Path(word) for word in words if word.startswith("/")]
    assert all(path.exists() or path.is_relative_to(search.cache / "download" / TOYS.folder) for path in mentioned)


def test_a_download_that_was_damaged_later_is_refused(search: DataSearch, publisher: Publisher) -> None:
    folder = locate(TOYS, search).folder
    assert folder is not None
    truncate(folder / "first.bin")
    with pytest.raises(DatasetError, match=r"first\.bin has 7 bytes, 10 were expected"):
        locate(TOYS, search)
    assert len(publisher.fetched) == 2


def test_a_data_root_is_never_written_to(search: DataSearch, publisher: Publisher, tmp_path: Path) -> None:
    root = tmp_path / "named"
    put_files(root)
    before = listing(root)
    locate(TOYS, replace(search, root=root))
    corrupt(root / TOYS.folder / "first.bin")
    damaged = listing(root)
    with pytest.raises(DatasetError):
        locate(TOYS, replace(search, root=root))
    assert damaged == listing(root) != before
    assert not search.cache.exists()
    assert publisher.fetched == []


def test_a_task_is_located_by_its_name(search: DataSearch) -> None:
    assert locate_task("cora-node", replace(search, mode="planted")).kind == "planted"

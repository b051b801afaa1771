"""Raw files come out of published archives, and may differ from what was published in ways that do not matter."""

import struct
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_LZMA, ZipFile

import pytest

from gnn.errors import DatasetError
from gnn.tasks import DataSearch, DataSource
from gnn.tasks.data_source import locate
from tests.gnn.toy_files import CONTENT, TOYS, Publisher, corrupt, downloaded, put_files

ZIPPED = replace(TOYS, archive="Toys.zip")


def put_archive(publisher: Publisher, content: dict[str, bytes]) -> None:
    with ZipFile(publisher.folder / "Toys.zip", "w") as packed:
        for name, of_file in content.items():
            packed.writestr(f"Toys/inner/{name}", of_file)


def test_files_come_out_of_a_published_archive(search: DataSearch, publisher: Publisher) -> None:
    put_archive(publisher, {"README.txt": b"more than was asked for", **CONTENT})
    lines: list[str] = []
    source = locate(ZIPPED, replace(search, announce=lines.append))
    assert source.kind == "download"
    assert source.folder is not None
    assert {path.name: path.read_bytes() for path in source.folder.iterdir()} == CONTENT
    assert lines == ["downloading Toys 1/1: Toys.zip"]
    assert publisher.fetched == ["https://toys.example/raw/Toys.zip"]
    assert locate(ZIPPED, search) == source
    assert len(publisher.fetched) == 1


@pytest.mark.parametrize("content", [{"first.bin": CONTENT["first.bin"]}, CONTENT | {"second.bin": b"the sec0nd file"}])
def test_an_archive_with_wrong_files_is_refused_and_leaves_nothing(
    search: DataSearch, publisher: Publisher, content: dict[str, bytes]
) -> None:
    put_archive(publisher, content)
    with pytest.raises(DatasetError, match=r"from https://toys\.example/raw/Toys\.zip is not what was published"):
        locate(ZIPPED, search)
    assert downloaded(search) == []


def test_a_page_in_place_of_the_archive_is_refused(search: DataSearch, publisher: Publisher) -> None:
    (publisher.folder / "Toys.zip").write_bytes(b"<html>log in to the network first</html>")
    with pytest.raises(DatasetError, match="is not what was published and was thrown away; try again"):
        locate(ZIPPED, search)
    assert downloaded(search) == []


def test_a_damaged_archive_is_refused(search: DataSearch, publisher: Publisher) -> None:
    put_archive(publisher, CONTENT)
    path = publisher.folder / "Toys.zip"
    path.write_bytes(path.read_bytes().replace(b"first file", b"FIRST file"))
    with pytest.raises(DatasetError, match="is not what was published"):
        locate(ZIPPED, search)
    assert downloaded(search) == []


ZEROS = b"\0" * 50_000_000


def with_a_bomb(path: Path) -> None:
    with ZipFile(path, "w", ZIP_DEFLATED) as packed:
        packed.writestr("first.bin", ZEROS)
        packed.writestr("second.bin", CONTENT["second.bin"])


def with_a_bomb_that_claims_its_known_size(path: Path) -> None:
    with_a_bomb(path)
    path.write_bytes(path.read_bytes().replace(struct.pack("<L", len(ZEROS)), struct.pack("<L", 10)))


def with_a_bomb_that_nobody_asked_for(path: Path) -> None:
    with ZipFile(path, "w", ZIP_DEFLATED) as packed:
        packed.writestr("bomb.bin", ZEROS)


def with_a_block_of_another_packer(path: Path) -> None:
    with ZipFile(path, "w", ZIP_LZMA) as packed:
        packed.writestr("first.bin", CONTENT["first.bin"])


@pytest.mark.parametrize(
    "plant",
    [
        with_a_bomb,
        with_a_bomb_that_claims_its_known_size,
        with_a_bomb_that_nobody_asked_for,
        with_a_block_of_another_packer,
    ],
)
def test_nothing_larger_than_a_known_file_is_unpacked(
    search: DataSearch, publisher: Publisher, plant: Callable[[Path], None]
) -> None:
    plant(publisher.folder / "Toys.zip")
    tracemalloc.start()
    try:
        with pytest.raises(DatasetError, match="is not what was published and was thrown away"):
            locate(ZIPPED, search)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 8_000_000
    assert downloaded(search) == []


def test_an_archive_out_of_reach_falls_back_and_is_named(search: DataSearch, publisher: Publisher) -> None:
    publisher.fails_at = "Toys.zip"
    source = locate(ZIPPED, search)
    assert source.kind == "planted"
    assert "its download from https://toys.example/raw/Toys.zip failed" in source.reason


def test_a_missing_file_sends_to_the_archive(search: DataSearch, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"; copy the file from https://toys\.example/raw/Toys\.zip into it, or"):
        locate(ZIPPED, replace(search, root=tmp_path / "elsewhere"))


def test_checksums_belong_to_the_canonical_form(search: DataSearch) -> None:
    lenient = replace(TOYS, canonical=lambda content: content.replace(b"\r", b""))
    folder = put_files(search.base / "data")
    (folder / "first.bin").write_bytes(b"first\r file\r")
    assert locate(lenient, search) == DataSource("root", folder)
    with pytest.raises(DatasetError, match=r"first\.bin has 12 bytes, 10 were expected"):
        locate(TOYS, search)
    corrupt(folder / "first.bin")
    with pytest.raises(DatasetError, match=r"first\.bin is corrupted"):
        locate(lenient, search)

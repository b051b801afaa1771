"""Where a dataset's raw files come from, and whether they are what they should be."""

import hashlib
import socket
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile

from filelock import FileLock

from gnn.errors import DatasetError, SettingError

DOWNLOAD_TIMEOUT_S = 20.0


def _as_it_is(content: bytes) -> bytes:
    return content


@dataclass(frozen=True)
class RawDataset:
    """A dataset as its publisher ships it.

    `folder` is its place below a PyG data root, `files` maps each raw file to its (size_bytes, sha256),
    `url` is the publisher's address of the files, or of the zip file `archive` that holds them in any folder.
    `canonical` gives of a raw file's content that to which size and sha256 belong, where several forms are in use.
    """

    name: str
    folder: str
    files: Mapping[str, tuple[int, str]]
    url: str
    archive: str = ""
    canonical: Callable[[bytes], bytes] = _as_it_is

    @property
    def address(self) -> str:
        """Where a person finds the files."""
        return f"{self.url}/{self.archive}" if self.archive else self.url


@dataclass(frozen=True)
class DataSearch:
    """How to look for raw files: mode "auto" (planted data as the last resort), "real" or "planted".

    `root` is a data root named by the user; without one `base`/data and `base`/../shared/data are tried,
    then the download into `cache`. `announce` receives progress lines.
    """

    mode: str
    base: Path
    cache: Path
    root: Path | None = None
    announce: Callable[[str], object] = print

    def __post_init__(self) -> None:
        if self.mode not in ("auto", "real", "planted"):
            raise SettingError(f"unknown data mode {self.mode!r}; valid are: auto, planted, real")


@dataclass(frozen=True)
class DataSource:
    """Where the data of one task is: `kind` is "root", "download", "planted" or "missing".

    `folder` holds the raw files; `reason` says why it is planted or missing.
    """

    kind: str
    folder: Path | None = None
    reason: str = ""


def verify(dataset: RawDataset, folder: Path) -> None:
    """Compare every raw file with its known size and sha256; raises `DatasetError` naming the first bad one."""
    remedy = (
        f"copy the file from {dataset.address} into it, or move the folder away and run without --data-root to "
        "download it"
    )
    for name, (size_bytes, sha256) in dataset.files.items():
        path = folder / name
        if not path.is_file():
            raise DatasetError(f"{dataset.name} file {path} is missing, {size_bytes} bytes were expected; {remedy}")
        content = dataset.canonical(path.read_bytes())
        if len(content) != size_bytes:
            raise DatasetError(
                f"{dataset.name} file {path} has {len(content)} bytes, {size_bytes} were expected; {remedy}"
            )
        if hashlib.sha256(content).hexdigest() != sha256:
            raise DatasetError(f"{dataset.name} file {path} is corrupted, sha256 {sha256} was expected; {remedy}")


def locate(dataset: RawDataset, search: DataSearch) -> DataSource:
    """Find the raw files: the named root, ./data, ../shared/data, the download, then planted data.

    Raises `DatasetError` for a root that lacks the dataset although the user named it, for a file that is
    not what its checksum says wherever it lies, and, in mode "real", when nothing was found.
    """
    if search.mode == "planted":
        return DataSource("planted", reason="asked for with --data planted")
    roots = [search.root] if search.root else [search.base / "data", search.base.parent / "shared" / "data"]
    for root in roots:
        folder = root / dataset.folder
        if search.root or folder.is_dir():
            verify(dataset, folder)
            return DataSource("root", folder)
    try:
        return DataSource("download", download(dataset, search))
    except (OSError, HTTPException) as error:
        looked = ", ".join(str(root) for root in roots)
        problem = f"{dataset.name} is in none of {looked} and its download from {dataset.address} failed ({error})"
        if search.mode == "real":
            raise DatasetError(
                f"{problem}; name a PyG data root with --data-root, or run with --data planted"
            ) from error
        return DataSource("planted", reason=problem)


def download(dataset: RawDataset, search: DataSearch) -> Path:
    """Fetch the raw files once into the cache, whole or not at all, and return their folder.

    Raises `OSError` or `HTTPException` when the network fails and `DatasetError` when what came is not what
    was published.
    """
    folder = search.cache / "download" / dataset.folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / f".{folder.name}.lock"):
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
                fetched = Path(temporary) / folder.name
                try:
                    _fetch_all(dataset, fetched, search.announce)
                    verify(dataset, fetched)
                except (DatasetError, BadZipFile, zlib.error) as error:
                    raise DatasetError(
                        f"the download of {dataset.name} from {dataset.address} is not what was published and was "
                        "thrown away; try again, or name a PyG data root with --data-root"
                    ) from error
                fetched.replace(folder)
        verify(dataset, folder)
    return folder


def _fetch_all(dataset: RawDataset, folder: Path, announce: Callable[[str], object]) -> None:
    # PyG takes seconds to import, so only a download pays for it.
    from torch_geometric.data import download_url  # noqa: PLC0415

    names = [dataset.archive] if dataset.archive else list(dataset.files)
    with _network_timeout():
        for number, name in enumerate(names, start=1):
            announce(f"downloading {dataset.name} {number}/{len(names)}: {name}")
            download_url(f"{dataset.url}/{name}", str(folder), log=False)
    if dataset.archive:
        _unpack(folder / dataset.archive, dataset.files)


def _unpack(archive: Path, wanted: Mapping[str, object]) -> None:
    """Put the wanted files of a zip file beside it, whatever folder they have in it, and delete it."""
    with ZipFile(archive) as packed:
        for member in packed.namelist():
            name = PurePosixPath(member).name
            if name in wanted:
                (archive.parent / name).write_bytes(packed.read(member))
    archive.unlink()


@contextmanager
def _network_timeout() -> Iterator[None]:
    # PyG passes no timeout on, and a run must not hang where the network swallows packets.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)

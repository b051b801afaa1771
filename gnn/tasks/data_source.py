"""Where a dataset's raw files come from, and whether they are what they should be."""

import glob
import hashlib
import io
import ssl
import struct
import tempfile
import urllib.request
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from gnn.artifacts import locked_in_turn
from gnn.atomic_file import AnyPath
from gnn.errors import DatasetError, SettingError
from gnn.leftovers import remove_leftovers

DOWNLOAD_TIMEOUT_S = 20.0
# What an archive holds beside the files, and what another form than the canonical one may have more.
DOWNLOAD_SURPLUS_BYTES = 2**20


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

    @property
    def largest_download_bytes(self) -> int:
        """The most that is read from the network, or unpacked, for one file."""
        return sum(size_bytes for size_bytes, _ in self.files.values()) + DOWNLOAD_SURPLUS_BYTES


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
    """Where the data of one task is: `kind` is "root", "download", "planted", "given" or "missing".

    `folder` holds the raw files; `reason` says why it is planted or missing.
    """

    kind: str
    folder: Path | None = None
    reason: str = ""


def verify(dataset: RawDataset, folder: AnyPath) -> dict[str, bytes]:
    """Compare every raw file with its known size and sha256, and return what was compared, in its canonical form.

    Whoever reads the files again may read others. Raises `DatasetError` naming the first bad one.
    """
    remedy = (
        f"copy the file from {dataset.address} into it, or move the folder away and run without --data-root to "
        "download it"
    )
    contents = {}
    for name, (size_bytes, sha256) in dataset.files.items():
        path = Path(folder) / name
        if not path.is_file():
            raise DatasetError(f"{dataset.name} file {path} is missing, {size_bytes} bytes were expected; {remedy}")
        content = contents[name] = dataset.canonical(path.read_bytes())
        if len(content) != size_bytes:
            raise DatasetError(
                f"{dataset.name} file {path} has {len(content)} bytes, {size_bytes} were expected; {remedy}"
            )
        if hashlib.sha256(content).hexdigest() != sha256:
            raise DatasetError(f"{dataset.name} file {path} is corrupted, sha256 {sha256} was expected; {remedy}")
    return contents


def locate(dataset: RawDataset, search: DataSearch) -> DataSource:
    """Find the raw files: the named root, ./data, ../shared/data, the download, then planted data.

    Raises `DatasetError` for a root that lacks the dataset although the user named it, for a file that is
    not what its checksum says wherever it lies, and, in mode "real", when nothing was found.
    """
    if search.mode == "planted":
        return DataSource("planted", reason="asked for with --data planted")
    base = Path(search.base)
    roots = [Path(search.root)] if search.root else [base / "data", base.parent / "shared" / "data"]
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
    folder = Path(search.cache) / "download" / dataset.folder
    part = f".{folder.name}."
    with locked_in_turn(folder.parent / f"{part}lock"):
        remove_leftovers(folder.parent, f"{glob.escape(part)}*.part")
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=part, suffix=".part") as temporary:
                fetched = Path(temporary) / folder.name
                fetched.mkdir()
                try:
                    for name, content in _fetch_all(dataset, search.announce).items():
                        (fetched / name).write_bytes(content)
                    verify(dataset, fetched)
                except DatasetError as error:
                    raise DatasetError(
                        f"the download of {dataset.name} from {dataset.address} is not what was published and was "
                        "thrown away; try again, or name a PyG data root with --data-root"
                    ) from error
                fetched.replace(folder)
        verify(dataset, folder)
    return folder


def _fetch_all(dataset: RawDataset, announce: Callable[[str], object]) -> dict[str, bytes]:
    names = [dataset.archive] if dataset.archive else list(dataset.files)
    fetched = {}
    for number, name in enumerate(names, start=1):
        announce(f"downloading {dataset.name} {number}/{len(names)}: {name}")
        fetched[name] = _fetch(f"{dataset.url}/{name}", dataset.largest_download_bytes)
    return _unpack(fetched[dataset.archive], dataset) if dataset.archive else fetched


def _fetch(url: str, largest_bytes: int) -> bytes:
    # Checksums say what came, so certificates that a system lacks need not be in the way.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with urllib.request.urlopen(url, timeout=DOWNLOAD_TIMEOUT_S, context=context) as response:  # noqa: S310
        content = response.read(largest_bytes + 1)
    if len(content) > largest_bytes:
        raise DatasetError(f"{url} has more than {largest_bytes} bytes")
    return content


def _unpack(archive: bytes, dataset: RawDataset) -> dict[str, bytes]:
    """The wanted files of a zip file, in any folder; of one that is larger, one byte too many."""
    try:
        with ZipFile(io.BytesIO(archive)) as packed:
            members = {PurePosixPath(member.filename).name: member for member in packed.infolist()}
            return {name: _member(packed, members[name], dataset) for name in dataset.files if name in members}
    except (BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError) as error:
        raise DatasetError(f"no zip file, or a damaged one ({error})") from error


def _member(packed: ZipFile, member: ZipInfo, dataset: RawDataset) -> bytes:
    known_bytes, _ = dataset.files[PurePosixPath(member.filename).name]
    largest_bytes = known_bytes if dataset.canonical is _as_it_is else dataset.largest_download_bytes
    # Other ways of packing unpack a block at once, however large.
    if member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise DatasetError(f"{member.filename} is packed by method {member.compress_type}, expected stored or deflated")
    with packed.open(member) as stream:
        return stream.read(largest_bytes + 1)

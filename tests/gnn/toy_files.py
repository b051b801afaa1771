"""Two toy files, a publisher of them in place of the network, and what lies where afterwards."""

import hashlib
import io
import ssl
import urllib.error
from dataclasses import dataclass, field
from pathlib import Path

from gnn.tasks import DataSearch
from gnn.tasks.data_source import RawDataset

CONTENT = {"first.bin": b"first file", "second.bin": b"the second file"}
TOYS = RawDataset(
    name="Toys",
    folder="Shelf/Toys/raw",
    url="https://toys.example/raw",
    files={name: (len(content), hashlib.sha256(content).hexdigest()) for name, content in CONTENT.items()},
)
REMEDY = "; copy the file from https://toys.example/raw "


def put_files(root: Path) -> Path:
    folder = root / TOYS.folder
    folder.mkdir(parents=True)
    for name, content in CONTENT.items():
        (folder / name).write_bytes(content)
    return folder


@dataclass
class Publisher:
    """Stands for the network: gives files of a local folder, or fails at one of them."""

    folder: Path
    fails_at: str = ""
    error: Exception = field(default_factory=lambda: urllib.error.URLError("no route to host"))
    fetched: list[str] = field(default_factory=list)
    timeouts: list[float] = field(default_factory=list)

    def urlopen(self, url: str, timeout: float, context: ssl.SSLContext) -> io.BytesIO:  # noqa: ARG002
        self.fetched.append(url)
        self.timeouts.append(timeout)
        name = url.rpartition("/")[2]
        if name == self.fails_at:
            raise self.error
        return io.BytesIO((self.folder / name).read_bytes())


def downloaded(search: DataSearch) -> list[Path]:
    """What lies in the cache's download folder, lock files aside."""
    return [path for path in (search.cache / "download").rglob("*") if path.is_file() and path.suffix != ".lock"]


def corrupt(path: Path) -> None:
    path.write_bytes(b"X" + path.read_bytes()[1:])

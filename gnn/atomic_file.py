"""Files that are there whole or not at all."""

import contextlib
import glob
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from gnn.leftovers import held, remove_leftovers

AnyPath = str | os.PathLike[str]


@contextlib.contextmanager
def replace_file(path: AnyPath) -> Iterator[BinaryIO]:
    """Open a temporary file that takes the place of `path` only when the block ends without an error.

    A new file has the mode of any other, 0666 less the umask; a replaced one keeps its mode and, where this user may
    give it, its owner. Of a symbolic link the target is replaced, and what is no regular file, such as /dev/stdout, is
    written to directly. The bytes are flushed to the disk before the rename, so a killed writer or a full disk leaves
    the old file or none. Raises `OSError` as the file system does.
    """
    path = Path(path)
    try:
        old = path.stat()
    except FileNotFoundError:
        old = None
    if old is not None and not stat.S_ISREG(old.st_mode):
        with path.open("wb") as stream:
            yield stream
        return
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target.parent, f".{glob.escape(target.name)}.*.part")
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with _created(temporary, old) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _created(path: Path, old: os.stat_result | None) -> Iterator[BinaryIO]:
    """A new file that is held, with the mode and the owner of an old one where there is one."""
    # The kernel takes the umask from the mode; asking for it would mean changing it for every thread.
    mode, there = 0o666 if old is None else 0o600, False
    while not there:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "wb") as stream, held(path) as there:
            if there:
                _take_over(handle, old)
                yield stream


def _take_over(handle: int, old: os.stat_result | None) -> None:
    if old is not None:
        for owner in ((-1, old.st_gid), (old.st_uid, -1)):
            with contextlib.suppress(PermissionError):
                os.fchown(handle, *owner)
        os.fchmod(handle, stat.S_IMODE(old.st_mode))


def write_atomically(path: AnyPath, content: bytes) -> None:
    """Write `content` to `path` through a temporary file (see `replace_file`)."""
    with replace_file(path) as stream:
        stream.write(content)

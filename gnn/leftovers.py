"""Temporary files and folders: whoever uses one holds it, and what nobody holds the next run removes."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows has no such locks: what is there stays.
    fcntl = None

PREFIX = "gnn-temporary-"


@contextlib.contextmanager
def held(path: Path) -> Iterator[bool]:
    """Keep a file or folder from `remove_leftovers` while the block runs; False when that had removed it already.

    The kernel lets go when the last process that holds it ends, however it ends, and knows processes of other
    containers too.
    """
    handle = -1
    try:
        # Without locks, as on some network disks, nothing is ever removed.
        with contextlib.suppress(OSError):
            if fcntl is not None:
                handle = os.open(path, os.O_RDONLY)
                fcntl.flock(handle, fcntl.LOCK_SH)
        yield path.exists()
    finally:
        if handle >= 0:
            os.close(handle)


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder that is removed when the block ends or, when this process is killed, by the next run."""
    there = False
    while not there:
        with tempfile.TemporaryDirectory(prefix=PREFIX) as name, held(Path(name)) as there:
            if there:
                yield Path(name)


def remove_leftovers(folder: Path, pattern: str = f"{PREFIX}*") -> None:
    """Remove what this user's killed processes left in a folder under names of a pattern; never what anybody holds."""
    for path in folder.glob(pattern) if fcntl is not None else ():
        with contextlib.suppress(OSError):
            _remove_unheld(path, fcntl)


def _remove_unheld(path: Path, fcntl: Any) -> None:  # noqa: ANN401  (a module that not every system has)
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if os.fstat(handle).st_uid == os.geteuid():
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    finally:
        os.close(handle)

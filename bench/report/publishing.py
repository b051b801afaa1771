"""A folder of files, written whole or not at all."""

import importlib.util
import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import mkdtemp

from gnn.errors import GnnError

INSTALL = "run: pip install -e '.[report]'"
PACKAGES = ("altair", "jinja2", "vl_convert")

# What tells a folder that may be replaced from one that holds somebody's work.
OURS = ("index.html", b'name="generator" content="gnn-compression-bench"')


def publish(files: Mapping[str, bytes], folder: Path) -> None:
    """Write files into a folder that is new, empty, or an older page, which they replace.

    Args:
        files: Contents by path below the folder.
        folder: Where they go.

    Raises:
        GnnError: The folder holds something else, or cannot be written; nothing of it has changed then.
    """
    check_folder(folder)
    made: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        for name, content in files.items():
            path = made / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        made.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        made.rename(folder)
    except OSError as error:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)
        raise GnnError(f"the page cannot be written to {folder}: {error.strerror or error}") from error


def check_packages() -> None:
    """Raise `GnnError` where something that draws pages is not installed; imports none of it, which takes seconds."""
    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise GnnError(f"{package} is not installed; {INSTALL}")


def check_folder(folder: Path) -> None:
    """Raise `GnnError` where a folder holds something else than an older page."""
    if folder.exists() and not folder.is_dir():
        raise GnnError(f"{folder} is a file; give a folder for the page")
    name, mark = OURS
    if folder.is_dir() and any(folder.iterdir()):
        page = folder / name
        if not page.is_file() or mark not in page.read_bytes()[:4096]:
            raise GnnError(f"{folder} holds something that is no page of this suite; give a new folder")

"""A folder of files, written whole or not at all."""

import importlib.util
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import mkdtemp

from gnn.errors import GnnError

INSTALL = "run: pip install -e '.[report]'"
PACKAGES = ("altair", "jinja2", "PIL", "vl_convert")

# What tells a folder that may be replaced from one that holds somebody's work: a page, and nothing beside its files.
PAGE, MARK = "index.html", b'name="generator" content="gnn-compression-bench"'
FILE = re.compile(
    r"index\.html|README\.md|summary\.md|comment\.md|records(-paper)?\.json|badge\.json|page\.css|page\.js|vega\.js"
    r"|tables/[^/]+\.(csv|md)|figures/[^/]+\.(svg|png|csv)"
)


def publish(files: Mapping[str, bytes], folder: Path) -> None:
    """Write files into a folder that is new, empty, or an older page, which they replace.

    Args:
        files: Contents by path below the folder.
        folder: Where they go.

    Raises:
        GnnError: The folder holds something else, or cannot be written; nothing of it has changed then.
    """
    check_folder(folder)
    folder = folder.resolve()
    made: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        made.chmod(0o755)
        for name, content in files.items():
            path = made / "new" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        # The older page is moved away whole, and back where the new one cannot take its place.
        older = folder.rename(made / "older") if folder.exists() else None
        try:
            (made / "new").rename(folder)
        except OSError:
            if older is not None:
                older.rename(folder)
            raise
    except OSError as error:
        raise GnnError(f"the page cannot be written to {folder}: {error.strerror or error}") from error
    finally:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)


def check_packages() -> None:
    """Raise `GnnError` where something that draws pages is not installed; imports none of it, which takes seconds."""
    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise GnnError(f"{package} is not installed; {INSTALL}")


def check_folder(folder: Path) -> None:
    """Raise `GnnError` where a folder holds something else than an older page, which a new one would remove."""
    if folder.exists() and not folder.is_dir():
        raise GnnError(f"{folder} is a file; give a folder for the page")
    held = [path for path in folder.rglob("*") if not path.is_dir()]
    foreign = [path for path in held if not FILE.fullmatch(path.relative_to(folder).as_posix())]
    page = folder / PAGE
    if held and not foreign and not (page.is_file() and MARK in page.read_bytes()[:4096]):
        foreign = held
    if foreign:
        raise GnnError(f"{folder} holds {foreign[0].name}, which is of no page of this suite; give a new folder")

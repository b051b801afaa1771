"""The page that holds what the proofs printed, a section for each, with the machine it was seen on."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tabulate import tabulate

from gnn.atomic_file import write_atomically
from gnn.errors import SettingError

PAGE = Path(__file__).parents[2] / "docs" / "measurement.md"


def machine_line(results: Mapping[str, Any]) -> str:
    """One line about the machine of a run, and the day."""
    machine, versions = results["machine"], results["versions"]
    return (
        f"{machine['cpu']} ({machine['class']}), {machine['cores']} cores, {machine['threads']} thread, "
        f"{machine['system']} {machine['kernel_release']}, torch {versions['torch']}, Python {versions['python']}, "
        f"{machine['allocator']}; {datetime.now(UTC):%Y-%m-%d}"
    )


def markdown_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows as GitHub shows them."""
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)


def write_section(name: str, text: str, page: Path = PAGE) -> None:
    """Put a text between the two markers of its section; raises `SettingError` when the page has no such section."""
    content = page.read_text()
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, found_start, rest = content.partition(start)
    _, found_end, after = rest.partition(end)
    if not (found_start and found_end):
        raise SettingError(f"{page} has no section between {start!r} and {end!r}; add both lines")
    write_atomically(page, f"{before}{start}\n\n{text.strip()}\n\n{end}{after}".encode())

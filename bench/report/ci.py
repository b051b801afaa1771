"""What continuous integration shows of a run: a step summary, a comment on a pull request, and a badge.

Markdown that comes from results is escaped: a name cannot begin a link, a tag, a mention or another column.
"""

import html
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from bench.report.front import Front
from bench.report.table import Table

# GitHub refuses a longer comment.
LONGEST_COMMENT = 65_536
# Of a step summary GitHub takes a megabyte.
LONGEST_SUMMARY = 1_000_000
MARKUP = re.compile(r"[\\`*_\[\]#|~]|(?<=:)/(?=/)|(?<=www)\.")
LEFT_OUT = "\n\n_Left out because there is no more room: see the page and the records of this run._\n"
GATE_COLOURS = {True: "red", False: "brightgreen"}


def step_summary(front: Front) -> str:
    """Everything that the front of the page says, in Markdown."""
    return _markdown(front, LONGEST_SUMMARY)


def pull_request_comment(front: Front) -> str:
    """The same within what GitHub takes for a comment."""
    return _markdown(front, LONGEST_COMMENT - 1)


def badge(front: Front) -> str:
    """What shields.io draws as a badge from an address of this file (https://shields.io/badges/endpoint-badge)."""
    counts = ", ".join(f"{count} {name}" for name, count in front.counts.items()) or "nothing was judged"
    shown = {"label": "compression gate", "message": counts, "color": GATE_COLOURS[front.is_red]}
    return json.dumps({"schemaVersion": 1, **shown}) + "\n"


def ci_files(front: Front) -> dict[str, str]:
    """The texts that a workflow takes, by the names of their files."""
    return {"summary.md": step_summary(front), "comment.md": pull_request_comment(front), "badge.json": badge(front)}


def escaped(text: str) -> str:
    """A text of one line that Markdown and HTML show as it is, in a table too."""
    return MARKUP.sub(r"\\\g<0>", html.escape(" ".join(text.split()), quote=False)).replace("@", "@\u200b")


def _markdown(front: Front, longest: int) -> str:
    """The verdict, then what moved, then the rest folded, as much of it as there is room for."""
    moved = front.moved
    facts = [f"{front.machine}; {front.versions}", f"{front.run}; {front.data}", f"commit: {front.commit}"]
    told = {case: moved.reasons.get(case, ()) + moved.improvements.get(case, ()) for case in _cases(front)}
    reasons = [f"- {escaped(sentence)}" for sentences in told.values() for sentence in sentences]
    missing = Counter(moved.not_compared.values())
    parts = [
        f"## {escaped(front.verdict)}",
        *([f"**{escaped(front.warning)}**"] if front.warning else []),
        escaped(moved.sentence),
        *([_table(moved.table)] if moved.moves else []),
        *_folded("Tests without a result", [f"- {escaped(test)}" for test in front.broken]),
        *_folded("Reasons of the gate", reasons),
        *_folded("Worth using", [_table(front.table)] if front.table.rows else []),
        *_folded(
            "Cases without accepted values", [f"- {count} times: {escaped(why)}" for why, count in missing.items()]
        ),
        *_folded("Machine, versions and data", [f"- {escaped(fact)}" for fact in facts]),
    ]
    return _within(parts, longest)


def _cases(front: Front) -> Iterable[str]:
    return dict.fromkeys([*front.moved.reasons, *front.moved.improvements])


def _table(table: Table) -> str:
    """The rows without the heading and the notes, every text escaped."""
    rows = [[escaped(cell) if isinstance(cell, str) else cell for cell in row] for row in table.rows]
    # The table escapes bars itself.
    bare = [[cell.replace("\\|", "|") if isinstance(cell, str) else cell for cell in row] for row in rows]
    return replace(table, rows=bare, notes=()).markdown().partition("\n\n")[2].strip()


def _folded(title: str, lines: Sequence[str]) -> list[str]:
    if not lines:
        return []
    text = "\n".join(lines)
    return [f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"]


def _within(parts: Sequence[str], longest: int) -> str:
    """The parts one below the other; of the first that has no room as many whole lines as have, then no more."""
    shown = ""
    for part in parts:
        whole = f"{shown}\n\n{part}" if shown else part
        if len(whole) + 1 <= longest - len(LEFT_OUT):
            shown = whole
            continue
        room = longest - len(LEFT_OUT) - len("\n\n</details>") - 2
        kept = whole[:room].rpartition("\n")[0]
        is_open = kept.count("<details>") > kept.count("</details>")
        return kept + ("\n\n</details>" if is_open else "") + LEFT_OUT
    return shown + "\n"

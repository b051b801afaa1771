"""A fingerprint of code is that of what the code does."""

from pathlib import Path

import pytest

import gnn
from gnn import source_code
from gnn.source_code import meaning, source_sha256

SOURCE = '''"""A module."""

import math

LIMIT = 3


class Square:
    """A square."""

    def area(self, side: float) -> float:
        """Its area."""
        # The side times itself.
        return side * side + LIMIT
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""A module."""\n', ""),
        ('"""A module."""', '"""Another text,\n\nof several lines."""'),
        ('    """A square."""\n\n', ""),
        ('"""Its area."""', '"""Its size."""'),
        ("        # The side times itself.\n", ""),
        ("LIMIT = 3", "LIMIT = 3  # at most"),
        ("side * side + LIMIT", "(\n            side * side\n            + LIMIT\n        )"),
        ("LIMIT = 3\n\n\n", "LIMIT=3\n"),
        ("side: float)", "side:float,)"),
    ],
)
def test_comments_docstrings_and_layout_do_not_count(old: str, new: str) -> None:
    changed = SOURCE.replace(old, new)
    assert changed != SOURCE
    assert meaning(changed) == meaning(SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("LIMIT = 3", "LIMIT = 4"),
        ("LIMIT = 3", "LIMIT = 3.0"),
        ("LIMIT = 3", 'LIMIT = "3"'),
        ("side * side", "side / side"),
        ("+ LIMIT", "- LIMIT"),
        ("side * side + LIMIT", "side * (side + LIMIT)"),
        ("import math", "import cmath"),
        ("area", "size"),
        ("return ", ""),
        ("float:", "int:"),
        ("class Square:", "class Square(object):"),
        ("    def area", "    @staticmethod\n    def area"),
    ],
)
def test_everything_else_does(old: str, new: str) -> None:
    changed = SOURCE.replace(old, new)
    assert changed != SOURCE
    assert meaning(changed) != meaning(SOURCE)


def test_a_text_that_is_no_docstring_counts() -> None:
    assert meaning('x = 1\n"""About x."""\n') != meaning("x = 1\n")
    assert meaning('def name():\n    return "a"\n') != meaning('def name():\n    return "b"\n')


def test_a_body_that_is_nothing_but_a_docstring_is_read() -> None:
    assert meaning('class A:\n    """One."""\n') == meaning('class A:\n    """Two."""\n')


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that is fingerprinted instead of this library."""
    (tmp_path / "layers").mkdir()
    for name in ("training.py", "layers/one.py", "layers/two.py"):
        (tmp_path / name).write_text(SOURCE)
    monkeypatch.setattr(source_code, "__file__", str(tmp_path / "source_code.py"))
    return tmp_path


def fingerprint(*names: str) -> str:
    """Without what was remembered: files do not change while the library runs."""
    return source_sha256.__wrapped__(*names)


def test_the_fingerprint_of_a_file_is_that_of_its_meaning(package: Path) -> None:
    before = fingerprint("training.py")
    (package / "training.py").write_text(SOURCE.replace("        # The side times itself.\n", "\n"))
    assert fingerprint("training.py") == before
    (package / "training.py").write_text(SOURCE.replace("LIMIT = 3", "LIMIT = 4"))
    assert fingerprint("training.py") != before


def test_every_file_of_a_folder_counts_with_its_name(package: Path) -> None:
    before = fingerprint("layers")
    (package / "layers" / "two.py").write_text(SOURCE.replace("+ LIMIT", "- LIMIT"))
    changed = fingerprint("layers")
    (package / "layers" / "two.py").rename(package / "layers" / "three.py")
    renamed = fingerprint("layers")
    (package / "layers" / "notes.txt").write_text("no code")
    assert len({before, changed, renamed}) == 3
    assert fingerprint("layers") == renamed


def test_files_that_are_not_asked_for_do_not_count(package: Path) -> None:
    before = fingerprint("training.py")
    (package / "layers" / "one.py").write_text("")
    assert fingerprint("training.py") == before != fingerprint("training.py", "layers/one.py")


def test_the_library_itself_has_a_fingerprint() -> None:
    assert Path(gnn.__file__).parent == Path(source_code.__file__).parent
    found = source_sha256("training.py", "layers")
    assert len(found) == 64
    assert found == fingerprint("training.py", "layers") != source_sha256("training.py")

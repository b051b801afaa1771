"""The text of a terminal as SVG."""

import runpy
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bench.report.terminal_picture import ADVANCE, MARGIN, main, terminal_picture
from gnn.errors import GnnError

TABLE = "case  x < 1 & y\n\n  \x1b[31mred\x1b[0m   fail\n"


def lines(picture: str) -> list[ET.Element]:
    return ET.fromstring(picture).findall("{http://www.w3.org/2000/svg}text")  # noqa: S314


def test_every_line_is_there_as_text_without_colours() -> None:
    drawn = lines(terminal_picture(TABLE))
    assert [(line.text or "").replace("\N{NO-BREAK SPACE}", " ") for line in drawn] == ["case  x < 1 & y", "red   fail"]


def test_a_character_is_as_wide_as_any_other_and_an_empty_line_takes_its_place() -> None:
    first, last = lines(terminal_picture(TABLE))
    assert float(first.attrib["textLength"]) == pytest.approx(15 * ADVANCE, abs=0.1)
    assert float(last.attrib["x"]) == pytest.approx(MARGIN + 2 * ADVANCE, abs=0.1)
    (below,) = lines(terminal_picture("\nx"))
    assert 2 * (float(below.attrib["y"]) - float(first.attrib["y"])) == float(last.attrib["y"]) - float(
        first.attrib["y"]
    )


def test_long_lines_are_wrapped_so_that_the_picture_stays_readable() -> None:
    drawn = lines(terminal_picture("one two three four", columns=10))
    assert len(drawn) == 3
    assert all(float(line.attrib["textLength"]) <= 10 * ADVANCE for line in drawn)


def test_the_command_draws_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, picture = tmp_path / "terminal.txt", tmp_path / "table.svg"
    text.write_text(TABLE)
    monkeypatch.setattr(sys, "argv", ["terminal_picture", str(text), str(picture)])
    monkeypatch.delitem(sys.modules, "bench.report.terminal_picture")
    runpy.run_module("bench.report.terminal_picture", run_name="__main__")
    assert picture.read_text() == terminal_picture(TABLE)


def test_nothing_to_draw_is_said_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(GnnError, match="no text"):
        terminal_picture(" \n\n")
    monkeypatch.setattr(sys, "argv", ["terminal_picture", str(tmp_path / "none.txt"), str(tmp_path / "table.svg")])
    with pytest.raises(SystemExit):
        main()
    assert "none.txt cannot be drawn" in capsys.readouterr().err
    assert not (tmp_path / "table.svg").exists()

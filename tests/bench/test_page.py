"""The page as files: whole or not at all, with links that lead somewhere, whatever results say."""

import importlib.util
import re
import shutil
from html import unescape
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.conftest import write_page
from bench.report.__main__ import main
from bench.report.page import compact, looks
from bench.report.publishing import check_packages, publish
from bench.report.table import Table
from fixtures.record import Results
from gnn.errors import GnnError
from tests.bench.made_up_records import changed, made_up_record, made_up_results

MARKUP = "</script><img src=x onerror=alert(1)>"
DENSE, PRUNED = (made_up_record(f"cora-node.gcn.{method}") for method in ("dense", "global.s0.5"))
OLDER = {"index.html": b'<meta name="generator" content="gnn-compression-bench">'}


def written(folder: Path, results: Results, name: str = "results.json") -> Path:
    path = folder / name
    path.write_bytes(msgspec.json.encode(results))
    return path


def test_names_that_hold_markup_are_texts_and_every_link_leads_to_a_file(tmp_path: Path) -> None:
    hostile = changed(
        PRUNED, id=f"cora-node.gcn.{MARKUP}", method_id=MARKUP, settings=PRUNED.settings | {"why": MARKUP}
    )
    red = changed(DENSE, gate={"status": "fail", "reasons": [MARKUP], "red": True})
    again = {"number": None, "machine": {}, "cases": [MARKUP], "commit": {"sha": MARKUP}, "failed_before": {}}
    run = made_up_results(red, hostile, machine={"cpu": MARKUP}, profile=MARKUP, shards=[again])
    source = written(tmp_path, run)
    page = tmp_path / "new" / "page"
    under_paper = written(tmp_path, made_up_results(DENSE, protocol="paper", profile=MARKUP), "paper.json")
    picture = tmp_path / "table.svg"
    options = ["--paper-protocol", str(under_paper), "--picture", str(picture)]
    assert main([str(source), "-o", str(page), *options]) == 1
    assert (page / "records-paper.json").is_file()
    assert "RED" in picture.read_text()
    assert MARKUP not in picture.read_text()
    index = (page / "index.html").read_text()
    assert MARKUP not in index
    assert index.count("</script>") == index.count("<script")
    assert "RED" in unescape(index)
    assert MARKUP in unescape(index)
    assert "<img" not in (page / "summary.md").read_text()
    assert msgspec.json.decode((page / "records.json").read_bytes()) == msgspec.json.decode(source.read_bytes())
    links = re.findall(r'href="([^"#][^"]*)"', re.sub(r"<script.*?</script>", "", index, flags=re.DOTALL))
    files = {link for link in links if not link.startswith("data:")}
    linked = ("records.json", "records-paper.json", "tables/all-cases.csv", "tables/all-cases.md", "figures/seeds.png")
    assert files.issuperset(linked)
    assert [link for link in files if not (page / link).is_file()] == []
    anchors = re.findall(r'href="#([^"]+)"', index)
    assert [name for name in anchors if f'id="{name}"' not in index] == []
    assert [path.name for path in page.parent.iterdir()] == ["page"]


ONE = made_up_results(DENSE)
BROKEN = {
    "empty": (b"", "is not a file that --results wrote"),
    "truncated": (msgspec.json.encode(ONE)[:-20], "is not a file that --results wrote"),
    "no object": (b"[1, 2]", "is not a file that --results wrote"),
    "another schema": (msgspec.json.encode(made_up_results(DENSE, schema=99)), "its schema is 99"),
    "no case": (msgspec.json.encode(made_up_results()), "holds no case"),
    "the same case": (msgspec.json.encode(ONE), "give every case once"),
    "another machine": (
        msgspec.json.encode(made_up_results(PRUNED, machine={"class": "b"})),
        "the class of the machine",
    ),
    "another protocol": (
        msgspec.json.encode(made_up_results(PRUNED, protocol="paper")),
        "the protocol is clean and paper",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_run_is_refused_in_a_sentence_and_leaves_nothing(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, sentence = BROKEN[name]
    (tmp_path / "other.json").write_bytes(content)
    sources = [str(written(tmp_path, ONE)), str(tmp_path / "other.json")]
    assert main([*sources, "-o", str(tmp_path / "page")]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
    assert not (tmp_path / "page").exists()


def test_a_folder_with_somebody_s_work_is_refused_and_an_older_page_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page"
    publish(OLDER | {"tables/old.csv": b""}, page)
    publish(OLDER | {"tables/new.csv": b""}, page)
    assert [path.name for path in (page / "tables").iterdir()] == ["new.csv"]
    (tmp_path / "file").touch()
    (page / "thesis.tex").write_text("mine")
    work = tmp_path / "work"
    work.mkdir()
    (work / "index.html").write_text("mine")
    for folder in (page, work, tmp_path / "file"):
        with pytest.raises(GnnError, match=r"new folder|a folder for the page"):
            publish(OLDER, folder)
    assert {path.name for path in page.rglob("*.*")} == {"index.html", "new.csv", "thesis.tex"}
    assert (work / "index.html").read_text() == "mine"


def test_a_page_that_cannot_take_its_place_leaves_the_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(OLDER | {"tables/old.csv": b""}, tmp_path / "page")
    rename = Path.rename

    def refused(path: Path, target: Path) -> Path:
        if path.name == "new":
            raise OSError(16, "Device or resource busy")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(GnnError, match=r"cannot be written to .*busy"):
        publish(OLDER, tmp_path / "page")
    assert [path.name for path in tmp_path.rglob("*.*")] == ["index.html", "old.csv"]


def test_a_run_in_several_files_is_red_where_one_of_them_is_and_keeps_all_that_they_hold(tmp_path: Path) -> None:
    green = written(tmp_path, made_up_results(DENSE, exit_status=0), "green.json")
    document = msgspec.to_builtins(made_up_results(PRUNED, exit_status=1)) | {"of_a_later_version": [1]}
    red = tmp_path / "red.json"
    red.write_bytes(msgspec.json.encode(document))
    green.write_bytes(msgspec.json.encode(msgspec.json.decode(green.read_bytes()) | {"of_a_later_version": [2]}))
    assert main([str(green), str(red), "-o", str(tmp_path / "page")]) == 1
    kept = msgspec.json.decode((tmp_path / "page" / "records.json").read_bytes())
    assert kept["of_a_later_version"] == [1, 2]
    assert [record["id"] for record in kept["cases"]] == [DENSE.id, PRUNED.id]


def test_a_disk_that_is_full_leaves_the_older_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(OLDER, tmp_path / "page")
    write = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if path.name == "last.csv":
            raise OSError(28, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(GnnError, match=r"cannot be written to .*No space left"):
        publish(OLDER | {"tables/last.csv": b""}, tmp_path / "page")
    assert [path.name for path in tmp_path.rglob("*")] == ["page", "index.html"]


def test_without_what_draws_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    check_packages()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "altair" else shutil)
    with pytest.raises(GnnError, match=r"altair is not installed; run: pip install -e '\.\[report\]'"):
        check_packages()


def test_the_end_of_a_run_writes_its_page_and_says_where(tmp_path: Path) -> None:
    document: dict[str, Any] = msgspec.to_builtins(ONE)
    assert write_page(tmp_path / "page", document) == f"page: {tmp_path / 'page' / 'index.html'}"
    assert msgspec.json.decode((tmp_path / "page" / "records.json").read_bytes(), type=Results) == ONE
    nothing = document | {"cases": []}
    assert write_page(tmp_path / "none", nothing) == f"no page was written to {tmp_path / 'none'}: no case was run"
    assert not (tmp_path / "none").exists()


def test_numbers_are_set_to_the_right_and_sentences_take_several_lines() -> None:
    rows = [["a", 0.5, "-", "worse", "a sentence that is longer than a number"], ["b", None, "<0.1", "better", "short"]]
    table = Table("key", "title", ["case", "number", "interval", "verdict", "why"], rows)
    assert looks(table) == {"right": [2, 3], "long": [5]}


def test_the_data_of_a_figure_have_every_name_and_every_text_that_repeats_once() -> None:
    settings = ["INT8", None, "INT8", "INT8"]
    rows = [{"case": name, "setting": setting, "score": 0.5} for name, setting in zip("abcd", settings, strict=True)]
    rows[1] |= {"score": 1 / 3, "ci95": (2 / 3, 1.0)}
    (data,) = compact({"datasets": {"rows": rows}})["datasets"].values()
    assert data["names"] == ["case", "setting", "score", "ci95"]
    assert data["texts"] == [[], ["INT8", None], [], []]
    assert data["rows"][:2] == [("a", 0, 0.5, None), ("b", 1, 0.33333333, [0.66666667, 1.0])]

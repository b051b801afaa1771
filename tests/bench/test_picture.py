"""The command that draws a results file."""

import runpy
import sys
from pathlib import Path

import msgspec
import pytest

from bench.report.figures import FIGURES
from bench.report.picture import main
from fixtures.record import Record
from tests.bench.made_up_records import made_up_record, made_up_results

HISTOGRAMS = {"a.weight": {"limit": 1.0, "before": [1, 5, 1], "after": [1, 0, 1], "zeros_before": 0, "zeros_after": 5}}
RECORDS = [
    made_up_record("cora-node.spline.dense"),
    made_up_record("cora-node.spline.global.s0.5", weight_histograms=HISTOGRAMS),
    made_up_record("cora-node.spline.l2.r0.1"),
    made_up_record("bbbp.gnnnet.dense"),
]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return write(tmp_path / "results.json", RECORDS)


def write(path: Path, records: list[Record]) -> Path:
    path.write_bytes(msgspec.json.encode(made_up_results(*records)))
    return path


def draw(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["picture", *(str(argument) for argument in arguments)])
    main()


def test_the_command_writes_a_file(tmp_path: Path, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = tmp_path / "picture.svg"
    monkeypatch.setattr(sys, "argv", ["picture", str(results), str(picture)])
    monkeypatch.delitem(sys.modules, "bench.report.picture")
    runpy.run_module("bench.report.picture", run_name="__main__")
    assert picture.read_text().rstrip().endswith("</svg>")
    assert "dc:date" not in picture.read_text()


def test_without_a_choice_the_picture_is_that_of_the_sizes(
    tmp_path: Path, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, choice in (("default.svg", ()), ("chosen.svg", ("--figure", "size")), ("l2.svg", ("--figure", "l2"))):
        draw(monkeypatch, results, tmp_path / name, *choice)
    default, chosen, other = ((tmp_path / f"{name}.svg").read_bytes() for name in ("default", "chosen", "l2"))
    assert default == chosen != other


def test_a_folder_is_given_every_figure(tmp_path: Path, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "figures"
    folder.mkdir()
    draw(monkeypatch, results, folder)
    assert {path.name for path in folder.iterdir()} == {f"{name}.svg" for name in FIGURES}


def test_a_figure_without_records_is_left_out_of_a_folder_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "figures"
    folder.mkdir()
    draw(monkeypatch, write(tmp_path / "results.json", RECORDS[:2]), folder)
    assert {path.stem for path in folder.iterdir()} == set(FIGURES) - {"l2"}
    assert "l2.svg: the results hold no regularized case" in capsys.readouterr().err


def test_a_model_can_be_chosen(tmp_path: Path, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(monkeypatch, results, tmp_path / "spline.svg", "--model", "cora-node.spline")
    draw(monkeypatch, results, tmp_path / "gnnnet.svg", "--model", "bbbp.gnnnet")
    draw(monkeypatch, results, tmp_path / "default.svg")
    spline, gnnnet, default = ((tmp_path / f"{name}.svg").read_bytes() for name in ("spline", "gnnnet", "default"))
    assert default == spline != gnnnet


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--model", "bbbp.gin"), "no case of 'bbbp.gin'; they have: bbbp.gnnnet, cora-node.spline"),
        (("--model", "bbbp.gnnnet", "--figure", "accuracy"), "the results hold no pruned case"),
    ],
)
def test_what_the_results_do_not_hold_is_refused_with_one_sentence(
    tmp_path: Path,
    results: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    sentence: str,
) -> None:
    with pytest.raises(SystemExit) as refused:
        draw(monkeypatch, results, tmp_path / "picture.svg", *arguments)
    assert refused.value.code == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "picture.svg").exists()


def test_a_file_that_holds_no_results_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results.json").write_text('{"cases": 1}')
    with pytest.raises(SystemExit):
        draw(monkeypatch, tmp_path / "results.json", tmp_path / "picture.svg")
    assert "is not a file that --results wrote" in capsys.readouterr().err


def test_the_same_results_give_the_same_picture(tmp_path: Path, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("first.svg", "second.svg"):
        draw(monkeypatch, results, tmp_path / name)
    assert (tmp_path / "first.svg").read_bytes() == (tmp_path / "second.svg").read_bytes()

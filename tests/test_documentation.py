"""What the documents say is true: their code runs, their links lead somewhere, and README is short."""

import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

import msgspec
import pytest

from tests.bench.made_up_records import made_up_record
from tests.forked_commands import Run, forks

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "docs" / "examples"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
# What a command printed is no code.
OUTPUT = "text"
FENCE = re.compile(r"^ *```(?P<language>[^\n]*)\n(?P<code>.*?)^ *```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
SCRIPT = re.compile(r'^exec \.venv/bin/python -m (?P<module>\S+)(?P<arguments>.*) "\$@"$', re.MULTILINE)
# What most of the code imports, which takes longer than running it.
SHARED = ("pytest", "torch_geometric.nn", "bench.conftest", "bench.report.page")
# Each of these must be found broken, or the test of the others says nothing.
BROKEN = (
    "scripts/bench --no-such-option",
    "scripts/bench -k no-such-case",
    "scripts/no-such-script",
    "scripts/prove-gate --no-such-option",
    ".venv/bin/python -m bench.report results.json -o page --no-such-option",
    "no-such-command",
)


class Command(NamedTuple):
    """A module, what it is given, and where it runs."""

    module: str
    arguments: list[str]
    variables: dict[str, str]
    folder: Path


def blocks(language: str) -> list[tuple[str, str]]:
    """The code blocks of a language, each with the name of its document."""
    return [
        (document.name, dedent(found["code"]))
        for document in DOCUMENTS
        for found in FENCE.finditer(document.read_text())
        if found["language"] == language
    ]


def shell_lines() -> list[str]:
    lines = (line.strip() for _, code in blocks("sh") for line in code.replace("\\\n", " ").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def command_of(line: str, folder: Path) -> Command | None:
    """What a shell line would run, as cheaply as it can be run; None for one that cannot.

    Modules run as they stand, in a folder with a results file. Scripts run their module, but the suite and the tests
    are only collected, and a proof only shows its help. scripts/bless gives its arguments to the suite.
    """
    words = shlex.split(line, comments=True)
    environment = {}
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        environment[name] = value
    program, *arguments = words
    if program == ".venv/bin/python" and arguments[:1] == ["-m"]:
        # There are no shards to join.
        return Command(arguments[1], [*arguments[2:], *["--help"] * ("merge" in arguments)], environment, folder)
    script = ROOT / program
    found = SCRIPT.search(script.read_text()) if script.is_file() and os.access(script, os.X_OK) else None
    if found is None or script.parent.name != "scripts":
        return None
    if script.name == "bless":
        return Command("pytest", collected(["bench", *arguments]), environment, ROOT)
    if found["module"] == "pytest":
        return Command("pytest", collected([*found["arguments"].split(), *arguments]), environment, ROOT)
    return Command(found["module"], [*arguments, "--help"], environment, ROOT)


def collected(arguments: list[str]) -> list[str]:
    """Arguments with which pytest only collects; of the unit tests, which are many, one file."""
    some = ["tests/test_architecture.py" if argument == "tests" else argument for argument in arguments]
    # No run was interrupted, nobody may have real data, and the ids of its cases are not those of planted ones.
    some = [word for before, word in zip(["", *some], some, strict=False) if "--resume" not in (before, word)]
    some = [f"planted-{word}" if before == "--case" else word for before, word in zip(["", *some], some, strict=False)]
    # Importing hypothesis takes longer than anything else here.
    return [
        *some,
        "--collect-only",
        "--quiet",
        "-p",
        "no:hypothesispytest",
        *(["--data", "planted"] if {"bench", "--case", "--data"}.intersection(some) else []),
    ]


def failing(lines: list[str], folder: Path, run: Run) -> dict[str, str]:
    """The lines that do not run, each with what was printed."""
    commands = {line: command_of(line, folder) for line in lines}
    runnable = {line: command for line, command in commands.items() if command is not None}
    failed = dict.fromkeys(commands.keys() - runnable.keys(), "nothing that can be run")
    for line, (module, arguments, variables, where) in runnable.items():
        done = run(module, *arguments, folder=where, **variables)
        printed = done.stdout + done.stderr
        unknown = "--help" in arguments and unknown_options(arguments, printed)
        if done.returncode != 0 or unknown:
            failed[line] = printed
    return failed


def unknown_options(arguments: list[str], shown: str) -> list[str]:
    return [word for word in arguments if word.startswith("--") and word not in shown]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Runs modules where all that takes long to import is imported already."""
    # What runs here is no worker of the run that tests it.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    with forks(*SHARED, environment={**environment, "PYTHONPATH": str(ROOT)}) as run:
        yield run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Holds what the commands of the documents read."""
    records = [
        made_up_record(f"cora-node.spline.{case}") for case in ("dense", "global.s0.5.ft", "global.s0.9.ft", "l2.r0.1")
    ]
    machine = {"cpu": "a processor", "instruction_set": "AVX9"}
    facts = {"protocol": "clean", "profile": "ci", "data": {}, "versions": {}}
    document = {"schema": 1, "machine": machine, **facts, "cases": msgspec.to_builtins(records)}
    for name, protocol in (("results.json", "clean"), ("paper.json", "paper")):
        (tmp_path / name).write_text(json.dumps(document | {"protocol": protocol}))
    (tmp_path / "docs").mkdir()
    for example in EXAMPLES.glob("*.py"):
        shutil.copyfile(example, tmp_path / example.name)
    return tmp_path


def test_every_shell_line_runs_and_a_broken_one_does_not(folder: Path, run: Run) -> None:
    lines = shell_lines()
    assert any(line.startswith("scripts/bench") for line in lines)
    failed = failing([*lines, *BROKEN], folder, run)
    assert failed.keys() >= set(BROKEN)
    unexpected = {line: printed for line, printed in failed.items() if line not in BROKEN}
    assert not unexpected, "\n".join(f"{line}\n{printed[-500:]}" for line, printed in unexpected.items())


def test_every_python_block_runs_as_it_stands(tmp_path: Path, run: Run) -> None:
    files = []
    for number, (document, code) in enumerate(blocks("python")):
        files.append(tmp_path / f"{document}-{number}.py")
        files[-1].write_text(code)
    (tmp_path / "every_block.py").write_text(f"import runpy\nfor file in {list(map(str, files))}: runpy.run_path(file)")
    done = run("every_block", folder=ROOT, PYTHONPATH=os.pathsep.join(map(str, (tmp_path, EXAMPLES))))
    assert done.returncode == 0, done.stderr


def test_readme_has_python_and_no_document_has_a_block_that_is_not_run() -> None:
    assert "README.md" in dict(blocks("python"))
    found = {
        document.name: [block["language"] for block in FENCE.finditer(document.read_text())] for document in DOCUMENTS
    }
    assert not {name: kinds for name, kinds in found.items() if not {"sh", "python", OUTPUT}.issuperset(kinds)}
    for document in DOCUMENTS:
        assert document.read_text().count("```") == 2 * len(found[document.name]), document


def test_readme_takes_two_minutes() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 100


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    links = [link.partition("#")[0] for link in LINK.findall(document.read_text()) if "://" not in link]
    assert not [link for link in links if link and not (document.parent / link).exists()]


def test_every_script_that_a_document_names_can_be_run() -> None:
    names = {name for document in DOCUMENTS for name in re.findall(r"\bscripts/[\w-]+", document.read_text())}
    assert "scripts/bench" in names
    assert not [name for name in names if not os.access(ROOT / name, os.X_OK)]


def test_readme_explains_every_option_of_the_suite() -> None:
    options = re.findall(r'addoption\(\s*"(--[\w-]+)"', (ROOT / "fixtures" / "options.py").read_text())
    assert "--profile" in options
    readme = (ROOT / "README.md").read_text()
    assert not [option for option in options if not re.search(rf"`{option}[ `]", readme)]

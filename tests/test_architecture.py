"""The house as the design draws it: imports run one way and never in a circle."""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import gnn

ROOT = Path(__file__).parents[1]
FORBIDDEN = {
    "gnn": {"fixtures", "bench", "tests", "pytest", "_pytest", "syrupy", "xdist", "pytest_benchmark"},
    "fixtures": {"bench", "tests"},
    "bench": {"tests"},
}
# Inside gnn a package may import only from those before it.
LAYERS = [
    "layers",
    "tasks",
    "models",
    "quantization",
    "preconditioning",
    "training",
    "compression",
    "storage",
    "runtime",
    "case",
    "shipped",
    "trial",
    "searching",
]


def modules(package: str) -> dict[str, Path]:
    """Every module of a package by its dotted name."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path) -> set[str]:
    """Every name a file imports, modules and what is taken from them, wherever the statement stands."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level <= (path.parent.name == "fixtures"), f"{path} imports relatively"
            module = ".".join(filter(None, ("fixtures" * node.level, node.module)))
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_imports_run_one_way(package: str) -> None:
    found = modules(package)
    assert len(found) > 5
    for name, path in found.items():
        upward = {imported.split(".")[0] for imported in imports(path)} & FORBIDDEN[package]
        assert not upward, f"{name} must not import {', '.join(sorted(upward))}"


def test_the_plugin_does_not_name_itself() -> None:
    # It has another name where it is installed.
    named = re.compile(r"(from|import) fixtures\b|[\"\']fixtures\.")
    assert not [path for path in modules("fixtures").values() if named.search(path.read_text())]


def test_what_decides_results_imports_nothing_of_what_only_reads_them() -> None:
    # The fingerprint of a run's code leaves these two out, so that a report may be newer than its run.
    readers = ("bench.report", "bench.proofs")
    # They print, and write pages.
    may = ("bench.conftest", "bench.runtime.page")
    deciding = {name: path for name, path in modules("bench").items() if not name.startswith(readers)}
    assert may[0] in deciding
    assert [name for name, path in deciding.items() if name not in may and _names(imports(path), readers)] == []


def _names(imported: set[str], packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for name in imported for package in packages)


def test_there_is_no_import_cycle() -> None:
    found = {name: path for package in FORBIDDEN for name, path in modules(package).items()}
    # A package's __init__ imports its parts so that they register; only the arrow from part to part counts.
    parts = {name: path for name, path in found.items() if path.name != "__init__.py"}
    graph = {name: imports(path) & parts.keys() for name, path in parts.items()}
    assert any(graph.values())
    TopologicalSorter(graph).prepare()


def test_packages_of_gnn_import_only_from_those_before_them() -> None:
    for name, path in modules("gnn").items():
        layer = [*name.split("."), ""][1]
        if layer in LAYERS:
            later = {f"gnn.{after}" for after in LAYERS[LAYERS.index(layer) + 1 :]}
            upward = {imported for imported in imports(path) if ".".join(imported.split(".")[:2]) in later}
            assert not upward, f"{name} must not import {', '.join(sorted(upward))}"


def test_no_file_is_longer_than_300_lines() -> None:
    long = {
        str(path): count
        for package in FORBIDDEN
        for path in modules(package).values()
        if (count := len(path.read_text().splitlines())) > 300
    }
    assert not long


def test_the_library_gives_each_name_that_it_lists_and_imports_nothing_before() -> None:
    assert all(getattr(gnn, name) is not None for name in gnn.__all__)
    with pytest.raises(AttributeError, match="module 'gnn' has no attribute 'colour'"):
        getattr(gnn, "colour")  # noqa: B009
    code = "import sys, gnn.errors; raise SystemExit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)

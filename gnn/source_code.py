"""The code as part of what determines a result."""

import ast
import hashlib
import sys
import sysconfig
from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache, partial
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import resolve_name, spec_from_file_location
from pathlib import Path
from types import ModuleType

from gnn.errors import SettingError

# A module and what is taken from it, attribute after attribute: ("a.b", ("C",)); where nothing is taken, all of it is.
Reference = tuple[str, tuple[str, ...]]

_OWN = Path(__file__).parent
_STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib"))
_DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
_INSTALLED = {"site-packages", "dist-packages"}


def source_sha256(*roots: object) -> str:
    """Fingerprint the source of modules, classes and functions with all that it imports (see `sources_of`).

    It is that of what the code does: comments, docstrings and the way it is laid out do not count. A file counts as it
    was when it was first asked for, until its module is imported anew: what is fingerprinted is what runs.

    Args:
        roots: Modules, or classes and functions, whose whole modules count.

    Raises:
        SettingError: A class or a function is in no file.
    """
    digest = hashlib.sha256()
    for name, text in sorted(sources_of(*roots).items()):
        digest.update(f"{name}\n{text}\n".encode())
    return digest.hexdigest()


def sources_of(*roots: object) -> dict[str, str]:
    """Find the modules that a fingerprint is of, by name, and what each does.

    Imports are followed to this library and to files outside the standard library and site-packages, those in functions
    too, those for type checkers alone not. `from package import Name` leads to the module that defines Name, past the
    package, so that a file can be added to it.
    """
    found: dict[str, str] = {}
    followed: set[Reference] = set()
    waiting = [_module_name(root) for root in roots]
    while waiting:
        name = waiting.pop()
        source = _source(name)
        if source is not None and name not in found:
            found[name] = source.meaning
            waiting.extend(module for reference in source.imports for module in _definers(reference, followed))
    return found


def installed_sha256(*roots: object) -> dict[str, str]:
    """Fingerprint the installed packages that modules, classes or functions are of, whole and by name.

    `source_sha256` does not follow them, since what many use is pinned; what somebody installs anew after every change
    is not. PyTorch and this library are left out.
    """
    packages = {_module_name(root).partition(".")[0] for root in roots} - {"torch", "gnn"}
    return {name: digest for name in sorted(packages) if (digest := _package_sha256(name))}


@lru_cache
def _package_sha256(name: str) -> str:
    spec = _specification(name)
    if spec is None or spec.origin is None or not _INSTALLED.intersection(Path(spec.origin).parts):
        return ""
    file = Path(spec.origin)
    files = sorted(file.parent.rglob("*.py")) if spec.submodule_search_locations else [file]
    digest = hashlib.sha256()
    for part in files:
        digest.update(f"{part.relative_to(file.parent)}\n".encode() + part.read_bytes())
    return digest.hexdigest()


def meaning(source: str | bytes) -> str:
    """A module as a text that two modules share when they differ in comments, docstrings and layout alone."""
    return _meaning(ast.parse(source))


def _meaning(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return ast.dump(tree)


class _Source(ast.NodeVisitor):
    """A module: what it does, what it imports, and which of its names come from elsewhere or are its own."""

    def __init__(self, source: bytes, package: str) -> None:
        self.package = package
        self.imported: defaultdict[str, set[Reference]] = defaultdict(set)
        self.defined: set[str] = set()
        self._used: defaultdict[str, set[tuple[str, ...]]] = defaultdict(set)
        self._whole: set[Reference] = set()
        self._dotted: set[str] = set()
        tree = ast.parse(source)
        self.visit(tree)
        self.imports = self._references()
        self.meaning = _meaning(tree)

    def visit(self, node: ast.AST) -> None:
        """Note what a statement or an expression imports, defines or uses."""
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
                for alternative in node.orelse:
                    self.visit(alternative)
                return
            case ast.Import():
                self._import(node)
            case ast.ImportFrom():
                self._import_from(node)
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                self.defined.add(node.name)
            case ast.Attribute() | ast.Name() if self._use(node):
                return
        self.generic_visit(node)

    def _import(self, node: ast.Import) -> None:
        for alias in node.names:
            # `import a.b` gives the name a.
            module = alias.name if alias.asname else alias.name.partition(".")[0]
            self.imported[alias.asname or module].add((module, ()))
            if module != alias.name:
                self._dotted.add(alias.name)

    def _import_from(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        if node.level:
            # In a file that is also run on its own, what is relative is only tried.
            module = resolve_name("." * node.level + module, self.package) if self.package else module
        for alias in node.names:
            if alias.name == "*":
                self._whole.add((module, ()))
            else:
                self.imported[alias.asname or alias.name].add((module, (alias.name,)))

    def _use(self, node: ast.expr) -> bool:
        """Note which attribute of which name is used; False where they are those of another expression."""
        names: tuple[str, ...] = ()
        while isinstance(node, ast.Attribute):
            names, node = (node.attr, *names), node.value
        if not isinstance(node, ast.Name):
            return False
        self._used[node.id].add(names)
        if isinstance(node.ctx, ast.Store):
            self.defined.add(node.id)
        return True

    def _references(self) -> set[Reference]:
        for dotted in self._dotted:
            head, *rest = dotted.split(".")
            if not any(names[: len(rest)] == tuple(rest) for names in self._used[head]):
                self._used[head].add(tuple(rest))
        return self._whole | {
            (module, names + more)
            for name, references in self.imported.items()
            for module, names in references
            for more in self._used[name] or {()}
        }


_SOURCES: dict[str, tuple[ModuleSpec | None, _Source | None]] = {}


def _source(name: str) -> _Source | None:
    """The source of a module; None where it has none, or is not looked at."""
    # A module that is imported anew has a new specification.
    imported = getattr(sys.modules.get(name), "__spec__", None)
    if name not in _SOURCES or _SOURCES[name][0] is not imported:
        _SOURCES[name] = imported, _read(name)
    return _SOURCES[name][1]


def _read(name: str) -> _Source | None:
    spec = _specification(name)
    if spec is None or (spec.origin is None and spec.submodule_search_locations is None):
        return None
    if spec.origin is None:
        # A namespace has nothing of its own.
        return _Source(b"", name)
    file = Path(spec.origin)
    installed = _INSTALLED.intersection(file.parts) or file.is_relative_to(_STANDARD_LIBRARY)
    if file.suffix != ".py" or not file.is_file() or (installed and not file.is_relative_to(_OWN)):
        return None
    return _Source(file.read_bytes(), spec.parent or "")


def _specification(name: str) -> ModuleSpec | None:
    """How a module was or would be imported; it is not imported for that."""
    module = sys.modules.get(name)
    if module is not None:
        file = getattr(module, "__file__", None)
        return getattr(module, "__spec__", None) or (spec_from_file_location(name, file) if file else None)
    folders, parent = None, name.rpartition(".")[0]
    if parent:
        if _source(parent) is None:
            return None
        if (package := _specification(parent)) is None or package.submodule_search_locations is None:
            return None
        if package.origin is None:
            # A namespace is searched only once it is imported, and it has no code that would run.
            import_module(parent)
        folders = package.submodule_search_locations
    return next(filter(None, (finder.find_spec(name, folders) for finder in sys.meta_path)), None)


def _definers(reference: Reference, followed: set[Reference]) -> Iterator[str]:
    """The modules that decide what is taken: those that define it, all of them where there may be several."""
    module, names = reference
    source = _source(module)
    if source is None or reference in followed:
        return
    followed.add(reference)
    if not names:
        yield module
        return
    name, rest = names[0], names[1:]
    # In a package, `from package import part` makes nothing of it but its part.
    elsewhere = source.imported.get(name, set()) - {(module, (name,))}
    inside = f"{module}.{name}"
    if not elsewhere and source.package == module and _source(inside) is not None:
        elsewhere = {(inside, ())}
    for other, start in elsewhere:
        yield from _definers((other, start + rest), followed)
    if not elsewhere or name in source.defined:
        yield module


def _module_name(root: object) -> str:
    while isinstance(root, partial):
        root = root.func
    name = root.__name__ if isinstance(root, ModuleType) else root.__module__
    if _specification(name) is None:
        what = getattr(root, "__qualname__", name)
        raise SettingError(f"{what} is in no file, so nobody could tell when it changes; put it into one and import it")
    return name

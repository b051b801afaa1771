"""A fingerprint of code is that of what the code does."""

import sys
from collections.abc import Iterator
from functools import partial
from importlib import import_module, reload
from pathlib import Path
from types import ModuleType

import pytest
from torch import nn

from gnn import training
from gnn.compression import METHODS
from gnn.errors import SettingError
from gnn.models import MODELS
from gnn.source_code import _package_sha256, installed_sha256, meaning, source_sha256, sources_of
from gnn.tasks import TASKS

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


FILES = {
    "kit/__init__.py": "from kit import part\nfrom kit.layer import Layer\nfrom kit.other import other\nOWN = 1\n",
    "kit/layer.py": "from kit.base import Base\n\n\nclass Layer(Base):\n    pass\n",
    "kit/base.py": "class Base:\n    pass\n",
    "kit/part.py": "x = 1\n",
    "kit/other.py": "other = 1\n",
    "kit/stars.py": "from kit.base import *\n",
    "kit/fallback.py": "try:\n    from kit.part import x\nexcept ImportError:\n    x = 2\n",
    "space/inner/leaf.py": "x = 1\n",
    "own/__init__.py": "from .net import Net\n",
    "own/beside.py": "x = 1\n",
}
ALL_OF_KIT = {"kit", "kit.part", "kit.layer", "kit.base", "kit.other"}
FOR_CHECKERS = "if {}TYPE_CHECKING:\n    import kit\nelse:\n    from kit import part\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of modules that can be imported until the test is over."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    forget()


def forget() -> None:
    for module in [module for module in sys.modules if module.partition(".")[0] in ("kit", "own", "space")]:
        del sys.modules[module]


def imported_anew() -> ModuleType:
    forget()
    return import_module("own.net")


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ("import math, torch.nn, torch_geometric.nn, _ast\n", set()),
        ("from kit import Layer\n", {"kit.layer", "kit.base"}),
        ("from kit.layer import Base\n", {"kit.base"}),
        ("from kit import part\n", {"kit.part"}),
        ("from kit import part\nx = part.x\n", {"kit.part"}),
        ("from kit import OWN\n", ALL_OF_KIT),
        ("from kit import *\n", ALL_OF_KIT),
        ("from kit.stars import Base\n", {"kit.stars", "kit.base"}),
        ("from kit.fallback import x\n", {"kit.fallback", "kit.part"}),
        ("import kit\n", ALL_OF_KIT),
        ("import kit\nx = [kit]\n", ALL_OF_KIT),
        ("import kit\nx = kit.Layer.mro()\n", {"kit.layer", "kit.base"}),
        ("import kit.layer\n", {"kit.layer", "kit.base"}),
        ("import kit.layer\nx = kit.layer.Base\n", {"kit.base"}),
        ("import kit.layer\nx = kit.part.x\n", {"kit.layer", "kit.base", "kit.part"}),
        ("import kit.layer as l\nx = l.Layer\n", {"kit.layer", "kit.base"}),
        ("def f():\n    from kit import part\n", {"kit.part"}),
        ("class A:\n    def f(self):\n        import kit.part\n        return kit.part.x\n", {"kit.part"}),
        ("from typing import TYPE_CHECKING\n" + FOR_CHECKERS.format(""), {"kit.part"}),
        ("import typing\n" + FOR_CHECKERS.format("typing."), {"kit.part"}),
        ("from .beside import x\n", {"own.beside"}),
        ("from . import beside\n", {"own.beside"}),
        ("from .beside import *\n", {"own.beside"}),
        ("from space.inner import leaf\n", {"space.inner.leaf"}),
        ("def f():\n    import space.inner.leaf as leaf\n", {"space.inner.leaf"}),
        ("try:\n    from nowhere import x\nexcept ImportError:\n    x = 1\n", set()),
    ],
)
def test_imports_are_followed_to_what_defines_their_names(folder: Path, statements: str, expected: set[str]) -> None:
    (folder / "own/net.py").write_text(f"{statements}\nclass Net:\n    pass\n")
    net = imported_anew()
    before = set(sys.modules)
    assert sources_of(net).keys() == sources_of(net.Net).keys() == {"own.net", *expected}
    assert {name for name in set(sys.modules) - before if not name.startswith("space")} == set()


@pytest.mark.parametrize(
    ("file", "more", "changes"),
    [
        ("own/net.py", "x = 1\n", True),
        ("kit/layer.py", "x = 1\n", True),
        ("kit/base.py", "x = 1\n", True),
        ("kit/base.py", "# A comment.\n", False),
        ("kit/other.py", "x = 1\n", False),
        ("kit/__init__.py", "from kit.newcomer import New\n", False),
        ("own/__init__.py", "x = 1\n", False),
    ],
)
def test_what_is_imported_counts_and_what_lies_beside_it_does_not(
    folder: Path, file: str, more: str, changes: bool
) -> None:
    (folder / "own/net.py").write_text("from kit import Layer\n\n\nclass Net(Layer):\n    pass\n")
    before = source_sha256(imported_anew().Net)
    (folder / "kit/newcomer.py").write_text("class New:\n    pass\n")
    (folder / file).write_text((folder / file).read_text() + more)
    assert (source_sha256(imported_anew().Net) != before) is changes


def test_a_file_counts_as_it_runs_until_it_is_imported_again(folder: Path) -> None:
    net = folder / "own/net.py"
    net.write_text("class Net:\n    pass\n")
    module = imported_anew()
    before = source_sha256(module)
    net.write_text("class Net:\n    more = 1\n")
    assert source_sha256(module) == before
    assert source_sha256(reload(module)) != before


def test_a_class_of_a_script_counts_with_its_file_and_one_that_was_typed_in_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = ModuleType("script")
    monkeypatch.setitem(sys.modules, "script", script)
    net = type("Net", (), {"__module__": "script"})
    with pytest.raises(SettingError) as caught:
        source_sha256(net)
    assert str(caught.value) == (
        "Net is in no file, so nobody could tell when it changes; put it into one and import it"
    )
    script.__file__ = str(tmp_path / "script.py")
    relative = "try:\n    from .training import x\nexcept ImportError:\n    from training import x\n"
    (tmp_path / "script.py").write_text(relative)
    assert sources_of(net) == sources_of(partial(net)) == {"script": meaning(relative)}


@pytest.mark.parametrize("name", MODELS)
def test_no_model_counts_for_another_one_and_no_dataset_for_any(name: str) -> None:
    build = MODELS[name].build
    found = sources_of(build, training).keys()
    own = {ancestor.__module__ for ancestor in build.mro()} if isinstance(build, type) else {build.__module__}
    others = {MODELS[other].build.__module__ for other in MODELS} - own
    assert not found & (others | {TASKS[task].load.__module__ for task in TASKS})
    assert own - found <= {"builtins", "torch.nn.modules.module"}
    assert {"gnn.determinism", "gnn.training_settings", "gnn.tasks.task", "gnn.layers.csr_matrix"} <= found


@pytest.mark.parametrize("name", METHODS)
def test_a_method_counts_with_what_it_uses_of_the_library(name: str) -> None:
    method = METHODS[name].compress
    found = sources_of(method).keys()
    assert {method.__module__, "gnn.compression.masks"} <= found
    assert not {"gnn.compression", "gnn.models", "gnn.tasks", "gnn.trial"} & found


def test_an_installed_package_counts_as_a_whole_where_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site-packages" / "foreign_net"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("class Net: ...\n")
    (package / "layers.py").write_text("SIZE = 1\n")
    monkeypatch.syspath_prepend(str(package.parent))
    net = import_module("foreign_net").Net
    before = installed_sha256(net, nn.Linear, training)
    assert list(before) == ["foreign_net"]
    (package / "layers.py").write_text("SIZE = 2\n")
    _package_sha256.cache_clear()
    assert installed_sha256(net) != before
    del sys.modules["foreign_net"]

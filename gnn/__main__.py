"""The command line: `python -m gnn compress my_model.py --max-drop 0.01 --max-bytes 30k -o small.safetensors`."""

import argparse
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from gnn.errors import GnnError, NothingFoundError, SettingError, StorageError
from gnn.models import MODELS, Model
from gnn.registry import Registry
from gnn.searching import search
from gnn.tasks import TASKS, GivenTask, Task

FOUND, NOTHING_FOUND, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
BYTES = {"": 1, "b": 1, "k": 1e3, "kb": 1e3, "m": 1e6, "mb": 1e6, "g": 1e9, "gb": 1e9}
SECONDS = {"": 1, "s": 1, "ms": 1e-3, "us": 1e-6, "min": 60, "h": 3600}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit status is 0 for what was found, 1 when nothing fulfils the limits, 2 for bad input."""
    parser = argparse.ArgumentParser("python -m gnn", description="Compress graph neural networks.")
    _add_compress(parser.add_subparsers(title="commands"))
    asked = parser.parse_args(arguments)
    if not hasattr(asked, "run"):
        parser.print_help()
        return FOUND
    try:
        return asked.run(asked)
    except GnnError as error:
        sys.stdout.flush()
        print(f"error: {error}", file=sys.stderr)
        return NOTHING_FOUND if isinstance(error, NothingFoundError) else BAD_INPUT
    except KeyboardInterrupt:
        print("interrupted before anything was found", file=sys.stderr)
        return INTERRUPTED


def _add_compress(commands: Any) -> None:  # noqa: ANN401  (argparse does not name its type)
    command = commands.add_parser(
        "compress",
        help="find the smallest file of a model within limits",
        description="Find the smallest file of a model within limits, on the validation part alone; the test part is "
        "looked at once, at the end. Ctrl-C ends with the best so far.",
    )
    command.set_defaults(run=_compress)
    add = command.add_argument
    add("file", type=Path, help="Python file that defines a gnn.Model and a task, such as one of gnn.node_task")
    add("--model", metavar="NAME", help="which model of the file, or a registered one")
    add("--task", metavar="NAME", help="which task of the file, or a registered one")
    add("--max-drop", type=float, default=0.01, help="validation score that may be lost (default: 0.01, one point)")
    add("--max-bytes", type=_amount(BYTES, "30k or 1M"), help="largest file, such as 30k (30,000 bytes) or 1M")
    add("--max-latency", type=_amount(SECONDS, "2ms"), help="longest compiled inference, such as 2ms")
    add("--budget", type=_amount(SECONDS, "120s or 5min"), default=600.0, help="wall time (default: 600s)")
    add("--seeds", type=int, default=3, help="dense models that are trained at most (default: 3)")
    add("--cache", type=Path, help="folder of trained models (default: GNN_CACHE, or in the user's cache folder)")
    add("-o", "--output", type=Path, required=True, help="the file that is written")


def _compress(asked: argparse.Namespace) -> int:
    _require_writable(asked.output)
    module = _imported(asked.file)
    found = search(
        _part(module, Model, asked.model, "model", MODELS),
        _part(module, (GivenTask, Task), asked.task, "task", TASKS),
        max_drop=asked.max_drop,
        max_bytes=None if asked.max_bytes is None else int(asked.max_bytes),
        max_latency_s=asked.max_latency,
        budget_s=asked.budget,
        seeds=asked.seeds,
        cache=True if asked.cache is None else asked.cache,
    )
    found.save(asked.output)
    print(f"again: {found.code}")
    print(f"{found.told(str(asked.output))}")
    return FOUND


def _amount(units: dict[str, float], example: str) -> Callable[[str], float]:
    """Read a number with a unit."""

    def read(text: str) -> float:
        match = re.fullmatch(r"(\d+\.?\d*|\.\d+)\s*([a-z]*)", text.strip().lower())
        if match is None or match[2] not in units:
            raise argparse.ArgumentTypeError(f"{text!r} is no amount; give one such as {example}")
        return float(match[1]) * units[match[2]]

    return read


def _require_writable(path: Path) -> None:
    """Raise `StorageError` now for a file that could not be written after a long search."""
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise StorageError(f"{path} cannot be written; name a file in a folder that you may write to")


def _imported(path: Path) -> ModuleType:
    """The module of a Python file, which finds what lies beside it, as when it is run."""
    name = path.stem if path.stem.isidentifier() and path.stem not in sys.modules else f"_compressed_{id(path)}"
    spec = importlib.util.spec_from_file_location(name, path) if path.suffix == ".py" and path.is_file() else None
    if spec is None or spec.loader is None:
        raise SettingError(f"{path} is no Python file; give one that defines a gnn.Model and a task")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.absolute().parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        said = " ".join(str(error).split())
        raise SettingError(
            f"{path} cannot be imported: line {_line(error, path)}: {type(error).__name__}: {said}"
        ) from error
    return module


def _line(error: BaseException, path: Path) -> int | None:
    """The line of the file where an error is, or that led to it."""
    if isinstance(error, SyntaxError) and error.filename:
        return error.lineno if Path(error.filename).absolute() == path.absolute() else None
    frames = reversed(traceback.extract_tb(error.__traceback__))
    return next((frame.lineno for frame in frames if Path(frame.filename).absolute() == path.absolute()), None)


def _part(
    module: ModuleType, kind: type | tuple[type, ...], name: str | None, what: str, registry: Registry[Any]
) -> Any:  # noqa: ANN401
    """The one model or task of a file, the one of that name, or the name of a registered one."""
    own = {variable: value for variable, value in vars(module).items() if isinstance(value, kind)}
    named = {variable: value for variable, value in own.items() if name in (None, variable, value.name)}
    if name is not None and not named:
        trained = getattr(module, name, None) if what == "model" else None
        if isinstance(trained, nn.Module):
            return trained
        if name in set(registry):
            return name
    if len({id(value) for value in named.values()}) == 1:
        return next(iter(named.values()))
    listed = ", ".join(own) or "none"
    said = f"{'no' if not named else 'several'} {what}{'s' if named else ''}{f' {name!r}' if name else ''}"
    raise SettingError(
        f"{module.__file__} has {said} (it has {listed}); choose one of them or a registered one with --{what} NAME "
        f"({', '.join(registry)}), or define a {'gnn.Model' if what == 'model' else 'task such as gnn.node_task(...)'}"
    )


if __name__ == "__main__":
    sys.exit(main())

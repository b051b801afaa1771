"""Runs Python modules as commands, each in a fork of one process that has imported what they share.

Importing PyTorch takes most of the time of a command that does nothing but parse its options, and torch-geometric takes
as long again. The process is this file as a program: it imports the modules that it is given, reads commands as lines
of JSON and answers each with its outcome.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@contextlib.contextmanager
def forks(*modules: str, environment: Mapping[str, str], python: str = sys.executable) -> Iterator[Run]:
    """A function that runs a module in a folder, with arguments and variables, where `modules` are imported already.

    What it finds first is what lies in the folder, and then what PYTHONPATH names, of the variables and of the
    environment.
    """
    command, pipe = [python, __file__, *modules], subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True) as server:

        def run(module: str, *arguments: str, folder: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
            assert server.stdin is not None
            assert server.stdout is not None
            asked = {"module": module, "arguments": arguments, "folder": str(folder), "variables": variables}
            print(json.dumps(asked), file=server.stdin, flush=True)
            return subprocess.CompletedProcess([module, *arguments], **json.loads(server.stdout.readline()))

        yield run


def serve() -> None:
    """Import, and answer every line."""
    for module in sys.argv[1:]:
        importlib.import_module(module)
    gc.freeze()  # what is imported is not looked through again in every fork
    for line in sys.stdin:
        print(json.dumps(outcome(json.loads(line))), flush=True)


def outcome(command: dict[str, Any]) -> dict[str, Any]:
    """The exit status of a command and what it printed."""
    with tempfile.TemporaryFile("w+") as printed, tempfile.TemporaryFile("w+") as errors, open(os.devnull) as nothing:  # noqa: PTH123
        child = os.fork()
        if child == 0:
            for number, file in enumerate((nothing, printed, errors)):
                os.dup2(file.fileno(), number)
            os._exit(_exit_status(command))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        for file in (printed, errors):
            file.seek(0)
        return {"returncode": status, "stdout": printed.read(), "stderr": errors.read()}


def _exit_status(command: dict[str, Any]) -> int:
    status: object = 0
    try:
        _be(command)
    except SystemExit as ended:
        status = ended.code
    except BaseException:
        traceback.print_exc()
        status = 1
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    return status if isinstance(status, int) else int(status is not None)


def _be(command: dict[str, Any]) -> None:
    os.chdir(command["folder"])
    os.environ.update(command["variables"])
    tempfile.tempdir = None
    paths = command["variables"].get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:1] = [command["folder"], *filter(None, paths)]
    sys.argv = [command["module"], *command["arguments"]]
    runpy.run_module(command["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    serve()

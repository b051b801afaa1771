"""Run Python modules as commands, each in a fork of one process that has imported what they share.

`python -m tests.forked_commands` reads commands as JSON and prints their outcomes as JSON. Importing torch takes most
of the time of a command that does nothing but parse its options.
"""

import contextlib
import gc
import json
import os
import runpy
import sys
import tempfile
import traceback
from typing import Any

import gnn.case  # noqa: F401  (for the forks)


def run(command: dict[str, Any]) -> None:
    """Be the command: its module, arguments, environment and folder; the exit status is that of the process."""
    os.chdir(command["folder"])
    os.environ.update(command["environment"])
    sys.argv = [command["module"], *command["arguments"]]
    runpy.run_module(command["module"], run_name="__main__", alter_sys=True)


def outcome(command: dict[str, Any]) -> dict[str, Any]:
    """The exit status of a command and what it printed, both streams together."""
    with tempfile.TemporaryFile("w+") as printed:
        child = os.fork()
        if child == 0:
            os.dup2(printed.fileno(), 1)
            os.dup2(printed.fileno(), 2)
            os._exit(_exit_status(command))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        printed.seek(0)
        return {"status": status, "output": printed.read()}


def _exit_status(command: dict[str, Any]) -> int:
    status: object = 0
    try:
        run(command)
    except SystemExit as ended:
        status = ended.code
    except BaseException:
        traceback.print_exc()
        status = 1
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    return status if isinstance(status, int) else int(status is not None)


if __name__ == "__main__":
    gc.freeze()  # what is imported is not looked through again in every fork
    print(json.dumps([outcome(command) for command in json.load(sys.stdin)]))

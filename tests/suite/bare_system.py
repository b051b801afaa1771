"""A pytest plugin that hides what only Linux has, or not every Linux, from all that is imported after it."""

import errno
import io
import os
import platform
import sys
from collections.abc import Callable
from typing import Any

import psutil

HIDDEN = ("/proc/", "/sys/")


def missing(path: object = "") -> OSError:
    return OSError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))


def hiding(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(path: object = ".", *arguments: object, **options: object) -> object:
        if str(path).startswith(HIDDEN):
            raise missing(path)
        return function(path, *arguments, **options)

    return call


def no_counter(_event: object) -> int:
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


for module, name in ((io, "open"), (os, "listdir"), (os, "scandir"), (os, "stat")):
    setattr(module, name, hiding(getattr(module, name)))
psutil.PROCFS_PATH = "/proc/hidden"
del os.sched_getaffinity
sys.modules["resource"] = None  # pyright: ignore[reportArgumentType]
platform.libc_ver = lambda *_arguments: ("", "")
from fixtures import instructions  # noqa: E402  (it must not find what is hidden)

instructions._open_counter = no_counter

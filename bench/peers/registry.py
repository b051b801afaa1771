"""The table of peers: other runtimes that the same model is timed on, each optional."""

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from textwrap import shorten

from bench.runtime.subject import Subject
from gnn.errors import GnnError
from gnn.runtime import Inference

Make = Callable[[Subject], Inference]
REASON_LENGTH = 160


@dataclass(frozen=True)
class Peer:
    """A function that prepares a model for another runtime, the packages it needs, and whether that takes minutes."""

    make: Make
    packages: tuple[str, ...] = ()
    expensive: bool = False

    @property
    def missing(self) -> str:
        """Why it is not measured here, "" where everything is installed."""
        absent = [package for package in self.packages if not _is_installed(package)]
        return f"{' and '.join(absent)} not installed; pip install '.[peers]'" if absent else ""


PEERS: dict[str, Peer] = {}


def peer(name: str, *packages: str, expensive: bool = False) -> Callable[[Make], Make]:
    """Register a function as the peer of this name."""

    def decorate(make: Make) -> Make:
        PEERS[name] = Peer(make, packages, expensive)
        return make

    return decorate


def prepared(peer: Peer, subject: Subject) -> tuple[Inference | None, str]:
    """The peer's inference, or None and why there is none; whatever it raises is its reason."""
    if peer.missing:
        return None, peer.missing
    try:
        inference = peer.make(subject)
        inference()
    # Another tool may refuse a model in any way.
    except Exception as error:
        said = " ".join(str(error).split()) or "no reason given"
        own = isinstance(error, GnnError)
        return None, shorten(said if own else f"{type(error).__name__}: {said}", REASON_LENGTH, placeholder=" ...")
    return inference, ""


def _is_installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True

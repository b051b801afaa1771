"""Long work on a machine that others wait for: they get their turn between two of its steps."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_OFFER: ContextVar[Callable[[], None]] = ContextVar("offer", default=lambda: None)


@contextmanager
def taking_turns(offer: Callable[[], None]) -> Iterator[None]:
    """Let everything in the block that takes long call `offer` between its steps, such as after each epoch."""
    token = _OFFER.set(offer)
    try:
        yield
    finally:
        _OFFER.reset(token)


def offer_turn() -> None:
    """Let whoever waits for the machine have it now; without `taking_turns` around it, nothing happens."""
    _OFFER.get()()

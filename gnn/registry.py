"""Named entries that refuse duplicates and answer a wrong name with the valid ones."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pkgutil import iter_modules
from typing import Generic, TypeVar

from gnn.errors import SettingError, UnknownNameError

Entry = TypeVar("Entry")


class Registry(Generic[Entry]):
    """Map names of one kind (tasks, models, methods) to their entries."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, Entry] = {}

    def add(self, name: str, entry: Entry) -> None:
        """Register `entry` as `name`, where it may be already; raises `SettingError` when another has the name."""
        if self._entries.get(name, entry) is not entry:
            raise SettingError(f"{self.kind} {name!r} is registered twice; give the second one its own name")
        self._entries[name] = entry

    def register(self, name: str) -> Callable[[Entry], Entry]:
        """Decorate an entry to register it as `name`."""

        def decorate(entry: Entry) -> Entry:
            self.add(name, entry)
            return entry

        return decorate

    @contextmanager
    def temporarily(self, name: str, entry: Entry) -> Iterator[None]:
        """Register `entry` as `name` inside a `with` block, in the place of one of that name if there is any."""
        before = self._entries
        self._entries = {**before, name: entry}
        try:
            yield
        finally:
            self._entries = before

    def __getitem__(self, name: str) -> Entry:
        if name not in self._entries:
            valid = ", ".join(sorted(self._entries))
            raise UnknownNameError(f"unknown {self.kind} {name!r}; valid are: {valid}")
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))


def import_parts(package: str, folders: Iterable[str]) -> None:
    """Import every module of a package, in the order of their names, so that each registers what it has.

    Args:
        package: The name of the package, its `__name__`.
        folders: Where its modules are, its `__path__`.
    """
    for module in iter_modules(folders, f"{package}."):
        import_module(module.name)

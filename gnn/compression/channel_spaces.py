"""Groups of channels that are united where they are the same ones, and split where only a part of them is."""

from collections.abc import Iterable
from dataclasses import dataclass, field

# Groups side by side along one axis of a tensor, such as (a, b) of a concatenation or (a, a) of two heads.
Space = tuple[int, ...]


@dataclass(frozen=True)
class Stay:
    """Why channels stay: the layer in which they met what they cannot pass, and a sentence about it."""

    layer: str
    sentence: str


# These two need no mention: channels that the example's features or the outputs have, and rows of a table that the
# example picks by number, as the columns of sparse features do.
GIVEN = Stay("", "are given")
NUMBERED = Stay("", "are picked by number")


@dataclass(eq=False)
class Spaces:
    """All groups of one trace; a group is a number, and stands for others where it was united or split."""

    _sizes: list[int] = field(default_factory=list)
    _instead: list[Space | None] = field(default_factory=list)
    _stays: list[dict[Stay, None]] = field(default_factory=list)

    def new(self, size: int) -> Space:
        """A group of that many channels of which nothing is known yet."""
        self._sizes.append(size)
        self._instead.append(None)
        self._stays.append({})
        return (len(self._sizes) - 1,)

    def groups(self, space: Space) -> Space:
        """The groups that a space consists of by now, from first to last."""
        left, found = list(reversed(space)), []
        while left:
            found.append(self._take(left))
        return tuple(found)

    def size(self, space: Space) -> int:
        """Channels of a space."""
        return sum(self._sizes[group] for group in space)

    def stays(self, group: int) -> tuple[Stay, ...]:
        """Why no channel of a group may go, in the order in which that was found."""
        return tuple(self._stays[group])

    def keep(self, space: Space | None, stay: Stay) -> None:
        """No channel of the space may go."""
        for group in self.groups(space or ()):
            self._stays[group][stay] = None

    def unite(self, one: Space, other: Space) -> Space:
        """Channel c of the one is channel c of the other; both have as many."""
        first, second = list(reversed(one)), list(reversed(other))
        while first:
            a, b = self._take(first), self._take(second)
            if self._sizes[a] != self._sizes[b]:
                larger, smaller = (a, b) if self._sizes[a] > self._sizes[b] else (b, a)
                self._split(larger, self._sizes[smaller])
                first.append(a)
                second.append(b)
            elif a != b:
                self._instead[max(a, b)] = (min(a, b),)
                self._stays[min(a, b)] |= self._stays[max(a, b)]
        return one

    def unite_all(self, spaces: Iterable[Space]) -> Space | None:
        """What all of them are, None without any."""
        first, *others = (*spaces, None)
        for other in others:
            if first is not None and other is not None:
                self.unite(first, other)
        return first

    def _take(self, left: list[int]) -> int:
        while (instead := self._instead[group := left.pop()]) is not None:
            left.extend(reversed(instead))
        return group

    def _split(self, group: int, size: int) -> None:
        halves = (*self.new(size), *self.new(self._sizes[group] - size))
        for half in halves:
            self._stays[half] |= self._stays[group]
        self._instead[group] = halves

"""One planted molecule: atoms whose valences add up, joined to rings, chains and groups."""

from dataclasses import dataclass, field, fields
from itertools import pairwise

import numpy as np

# Atomic number and valence.
ELEMENTS = {"H": (1, 1), "C": (6, 4), "N": (7, 3), "O": (8, 2), "F": (9, 1), "S": (16, 2), "Cl": (17, 1)}
NEUTRAL = 5  # the features count charges from -5
SP2, SP3 = 3, 4
CHIRAL_SHARE = 0.4  # of the saturated carbons with three or more heavy neighbours

# Atoms as (element, number of the atom in the group that it hangs on, order of that bond); the first hangs on the host.
# Every group has room for another one, so a molecule can always grow.
GROUPS = {
    "methyl": (("C", -1, 1),),
    "ethyl": (("C", -1, 1), ("C", 0, 1)),
    "hydroxyl": (("O", -1, 1),),
    "amine": (("N", -1, 1),),
    "methoxy": (("O", -1, 1), ("C", 0, 1)),
    "carbonyl": (("C", -1, 1), ("O", 0, 2)),
    "chloromethyl": (("C", -1, 1), ("Cl", 0, 1)),
    "fluoromethyl": (("C", -1, 1), ("F", 0, 1)),
    "acid": (("C", -1, 1), ("O", 0, 2), ("O", 0, 1)),
    "formate": (("O", -1, 1), ("C", 0, 1), ("O", 1, 2)),
    "amide": (("C", -1, 1), ("O", 0, 2), ("N", 0, 1)),
    "formamide": (("N", -1, 1), ("C", 0, 1), ("O", 1, 2)),
}
# Aromatic rings in small letters, as in SMILES.
RINGS = ("cccccc", "cccccc", "cccccc", "cccccn", "cccsc", "CCCCCC", "CCCCCC", "CCCNCC", "CCCNC", "CCCOC")
LARGEST_RING = max(len(ring) for ring in RINGS)


@dataclass
class PlantedMolecule:
    """Atoms and bonds; `used` is the sum of the orders of an atom's bonds, a bond of an aromatic ring being 3/2.

    All lists but `bonds` [(low, high)] are one entry an atom.
    """

    elements: list[str] = field(default_factory=list)
    used: list[int] = field(default_factory=list)
    aromatic: list[bool] = field(default_factory=list)
    in_ring: list[bool] = field(default_factory=list)
    flat: list[bool] = field(default_factory=list)
    charge: list[int] = field(default_factory=list)
    bonds: list[tuple[int, int]] = field(default_factory=list)

    def copy(self) -> "PlantedMolecule":
        """A molecule that can grow on its own."""
        return PlantedMolecule(*(list(getattr(self, part.name)) for part in fields(self)))

    def free(self, atom: int) -> int:
        """Bonds that an atom can still have, now hydrogens."""
        return ELEMENTS[self.elements[atom]][1] - self.used[atom]

    def attach(self, group: tuple[tuple[str, int, int], ...], random: np.random.Generator) -> None:
        """Hang a group on an atom that has room, or let it stand as the first of the molecule."""
        first = len(self.elements)
        host = self._draw_host(random) if first else None
        for element, parent, order in group:
            self._add(element, ring="")
            on = host if parent < 0 else first + parent
            if on is not None:
                self._bond(on, len(self.elements) - 1, order)

    def add_ring(self, random: np.random.Generator) -> None:
        """A ring of its own, joined by a single bond where there are atoms already."""
        ring = RINGS[random.integers(len(RINGS))]
        first = len(self.elements)
        host = self._draw_host(random) if first else None
        for letter in ring:
            self._add(letter.upper(), ring=letter)
        self._close(list(range(first, first + len(ring))))
        if host is not None:
            self._bond(host, first, 1)

    def fuse_ring(self, random: np.random.Generator) -> None:
        """A ring that shares a bond with one that is there, or one of its own where no bond has room for it."""
        ring = RINGS[random.integers(len(RINGS))]
        shared = [
            (low, high)
            for low, high in self.bonds
            if self.in_ring[low]
            and self.in_ring[high]
            and self.aromatic[low] == self.aromatic[high] == ring.islower()
            and min(self.free(low), self.free(high)) >= 1
        ]
        if not shared:
            self.add_ring(random)
            return
        low, high = shared[random.integers(len(shared))]
        first = len(self.elements)
        for letter in ring[2:]:
            self._add(letter.upper(), ring=letter)
        path = [low, *range(first, len(self.elements)), high]
        for start, end in pairwise(path):
            self.bonds.append((start, end) if start < end else (end, start))
        for atom in (low, high):
            self.used[atom] += 1
        for atom in path[1:-1]:
            self.used[atom] += self._ring_order(atom)

    def add_ion(self) -> None:
        """A chloride ion without any bond, as in the salts of BBBP."""
        self._add("Cl", ring="")
        self.used[-1], self.charge[-1] = 1, -1

    def features(self, random: np.random.Generator) -> list[list[int]]:
        """The nine features of PyG's `from_smiles` for every atom; which carbons are chiral is drawn."""
        heavy = np.bincount(np.array(self.bonds, dtype=np.int64).reshape(-1), minlength=len(self.elements)).tolist()
        rows = []
        for atom, element in enumerate(self.elements):
            hydrogens = self.free(atom)
            can_be_chiral = element == "C" and not self.flat[atom] and heavy[atom] >= 3
            chirality = int(random.integers(1, 3)) if can_be_chiral and random.random() < CHIRAL_SHARE else 0
            rows.append(
                [
                    ELEMENTS[element][0],
                    chirality,
                    heavy[atom] + hydrogens,
                    NEUTRAL + self.charge[atom],
                    hydrogens,
                    0,
                    SP2 if self.flat[atom] else SP3,
                    int(self.aromatic[atom]),
                    int(self.in_ring[atom]),
                ]
            )
        return rows

    def _add(self, element: str, ring: str) -> None:
        self.elements.append(element)
        self.used.append(0)
        self.aromatic.append(ring.islower())
        self.in_ring.append(bool(ring))
        self.flat.append(ring.islower())
        self.charge.append(0)

    def _bond(self, low: int, high: int, order: int) -> None:
        self.bonds.append((low, high))
        for atom in (low, high):
            self.used[atom] += order
            self.flat[atom] |= order > 1

    def _close(self, ring: list[int]) -> None:
        for start, end in pairwise(ring):
            self.bonds.append((start, end))
        self.bonds.append((ring[0], ring[-1]))
        for atom in ring:
            self.used[atom] += self._ring_order(atom)

    def _ring_order(self, atom: int) -> int:
        """Sum of the orders of an atom's two bonds in its ring; sulphur gives an aromatic ring a lone pair instead."""
        return 3 if self.aromatic[atom] and self.elements[atom] != "S" else 2

    def _draw_host(self, random: np.random.Generator) -> int:
        with_room = [atom for atom in range(len(self.elements)) if self.free(atom) > 0]
        return with_room[random.integers(len(with_room))]

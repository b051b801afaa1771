"""Molecules that do or do not pass the blood-brain barrier."""

import csv
import json
import re
from collections.abc import Hashable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from gnn.artifacts import Artifact, ArtifactStore
from gnn.errors import DatasetError
from gnn.source_code import source_sha256
from gnn.tasks.data_source import DataSource, RawDataset, verify
from gnn.tasks.graph_classification import GraphClassification
from gnn.tasks.graph_collection import GraphCollection
from gnn.tasks.graph_splits import grouped_random_split, random_split, scaffold_split
from gnn.tasks.node_classification import Split
from gnn.tasks.planted_graphs import BBBP_LIKE, plant_graphs
from gnn.tasks.registry import TaskRequest, register_task

if TYPE_CHECKING:
    from rdkit.Chem import Mol
    from torch_geometric.data import Data


def label_and_smiles(content: bytes) -> bytes:
    """The last two columns of a csv file, with the header and the line ends of the file in the data folder.

    The publisher's file has the columns num, name, p_np and smiles. No SMILES has a comma, names may.
    """
    rows = [row.rstrip("\r") for row in content.decode("latin-1").split("\n")[1:]]
    pairs = [",".join(row.rsplit(",", 2)[-2:]) for row in rows if row]
    return "\r\n".join(["BBBP,smiles", *pairs, ""]).encode("latin-1")


BBBP = RawDataset(
    name="BBBP",
    folder="MoleculeNet/bbbp/raw",
    url="https://deepchemdata.s3-us-west-1.amazonaws.com/datasets",
    files={"BBBP.csv": (113735, "34c10e0f0b15dbc178c3ce4ad9774decc6a202776a31763f5a899309c97497ee")},
    canonical=label_and_smiles,
)


@dataclass(frozen=True)
class SkippedRow:
    """A row that is no graph of the dataset: its line in the file (the header is line 1), and why.

    `smiles` is the whole row where it is not a label and a SMILES.
    """

    line: int
    smiles: str
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.smiles}: {self.reason}"


@dataclass(frozen=True, eq=False)
class Molecules:
    """The graphs of all rows, and the rows that gave none.

    A row's `molecule` is a number that it shares with the rows of the same molecule, those of the same canonical
    SMILES, and `scaffold` one that it shares with the molecules of the same scaffold. Shapes: molecule, scaffold
    [graphs] int64.
    """

    collection: GraphCollection
    molecule: Tensor
    scaffold: Tensor
    skipped: tuple[SkippedRow, ...]


@dataclass(frozen=True, eq=False)
class MoleculeClassification(GraphClassification):
    """Molecules that are classified, some of them in several rows; molecule [graphs] as in `Molecules`."""

    molecule: Tensor

    @property
    def statistics(self) -> dict[str, int | str]:
        """Those of graphs, and what is repeated.

        `molecules` are different ones, `repeated_rows` those whose molecule has another row too, and
        `contradicting_molecules` have rows of both classes.
        """
        rows = torch.bincount(self.molecule)
        classes = torch.bincount(torch.stack([self.molecule, self.collection.labels.cpu()]).unique(dim=1)[0])
        return super().statistics | {
            "molecules": len(rows),
            "repeated_rows": int(rows[rows > 1].sum()),
            "contradicting_molecules": int((classes > 1).sum()),
        }


@register_task("bbbp", BBBP)
def load_bbbp_random(request: TaskRequest) -> GraphClassification:
    """BBBP with 80% of the rows to train on, 10% to validate and 10% to test, drawn anew for every seed.

    Protocol "clean": all rows of a molecule are in one part; 60 molecules stand in 124 rows, 10 of them with both
    labels. Protocol "paper": rows are dealt out whatever their molecule, 1,631, 203 and 205, which leaves 5 to 14 of
    the test molecules in the training part as well. Shapes: features [49068, 9], the integers of PyG's `from_smiles`
    as float32; the features of bonds are left out; 2 classes.
    """
    molecules = load_bbbp(request.source, request.store)
    if request.protocol == "clean":
        split = grouped_random_split(molecules.molecule, request.seed)
    else:
        split = random_split(len(molecules.molecule), request.seed)
    return _task(request, request.protocol, molecules, split)


@register_task("bbbp-scaffold", BBBP)
def load_bbbp_scaffold(request: TaskRequest) -> GraphClassification:
    """BBBP with the molecules of a Bemis-Murcko scaffold in one part, as DeepChem splits it; one split for all seeds.

    The same in both protocols, and no molecule is in two parts. Harder than the random split: 82% of the training, 55%
    of the validation and 52% of the test molecules are positive.
    """
    molecules = load_bbbp(request.source, request.store)
    return _task(request, "clean", molecules, scaffold_split(molecules.scaffold))


def load_bbbp(source: DataSource, store: ArtifactStore) -> Molecules:
    """BBBP's molecules from its raw file, or planted ones; processed once, then read from the store.

    Raises `DatasetError` when the raw file is not the known one.
    """
    files = {name: sha256 for name, (_, sha256) in BBBP.files.items()}
    if source.kind == "planted":
        files = {"planted": repr(BBBP_LIKE)}
    key = {"kind": "processed", "dataset": BBBP.name, "files": files, "code": source_sha256(_process)}
    artifact = store.load_or_build(key, lambda: _process(source))
    tensors = dict(artifact.tensors)
    molecule, scaffold = tensors.pop("molecule"), tensors.pop("scaffold")
    skipped = tuple(SkippedRow(**row) for row in json.loads(artifact.facts["skipped"]))
    return Molecules(GraphCollection(**tensors), molecule, scaffold, skipped)


def _process(source: DataSource) -> Artifact:
    molecules = Molecules(*plant_graphs(BBBP_LIKE), ()) if source.kind == "planted" else _read(source)
    tensors = molecules.collection.tensors | {"molecule": molecules.molecule, "scaffold": molecules.scaffold}
    return Artifact(tensors, {"skipped": json.dumps([asdict(row) for row in molecules.skipped])})


def _task(request: TaskRequest, protocol: str, molecules: Molecules, split: Split) -> MoleculeClassification:
    return MoleculeClassification(
        name=request.name,
        source=request.source.kind,
        protocol=protocol,
        collection=molecules.collection,
        split=split,
        classes=int(molecules.collection.labels.max()) + 1,
        molecule=molecules.molecule,
    )


def _read(source: DataSource) -> Molecules:
    return read_molecules(verify(BBBP, cast(Path, source.folder))["BBBP.csv"].decode("latin-1"))


def read_molecules(text: str) -> Molecules:
    """Turn a csv file of labels 0 or 1 and SMILES, with a header, into graphs.

    Skipped and listed are rows that are no label and SMILES, those that rdkit takes for no molecule, as PyG's
    MoleculeNet skips them, and molecules that PyG has no features for. Blank lines at the end do not count. Raises
    `DatasetError` when the first line is no header of a label and "smiles", or no row is a molecule.
    """
    # rdkit and PyG take seconds to import, so only the first run on a machine pays for them.
    from rdkit import Chem, rdBase  # noqa: PLC0415

    header, *rows = text.rstrip().splitlines() or [""]
    _check_header(header)
    molecules: list[Mol] = []
    graphs: list[Data] = []
    labels: list[int] = []
    skipped: list[SkippedRow] = []
    with rdBase.BlockLogs():
        for line, row in enumerate(rows, start=2):
            smiles = row
            try:
                label, smiles = _label_and_smiles(row)
                molecule = _molecule(smiles)
                graphs.append(_graph(molecule))
            except DatasetError as error:
                skipped.append(SkippedRow(line, smiles, str(error)))
                continue
            molecules.append(molecule)
            labels.append(label)
        if not molecules:
            first = f" ({skipped[0]})" if skipped else ""
            raise DatasetError(
                f"none of {len(rows)} rows is a molecule{first}, expected rows of a label 0 or 1 and a SMILES; add one "
                "such as 1,CCO"
            )
        return Molecules(
            _collect(graphs, torch.tensor(labels)),
            _number(Chem.MolToSmiles(molecule) for molecule in molecules),
            _number_scaffolds(molecules),
            tuple(skipped),
        )


def _check_header(header: str) -> None:
    if not re.fullmatch(r'[^,]*,\s*"?smiles"?\s*', header, re.IGNORECASE):
        raise DatasetError(
            f"line 1 is {header!r}, expected a header of two columns, the label and 'smiles'; put the line BBBP,smiles "
            "before the molecules"
        )


def _label_and_smiles(row: str) -> tuple[int, str]:
    try:
        # Line by line: a quotation mark that is never closed must not swallow the lines after it.
        fields = next(csv.reader([row], strict=True))
    except csv.Error as error:
        raise DatasetError(f"no row of a csv file: {error}") from None
    if len(fields) != 2:
        raise DatasetError(f"the number of fields is {len(fields)}, expected 2: a label and a SMILES")
    label, smiles = fields
    if label.strip() not in ("0", "1"):
        raise DatasetError(f"the label is {label!r}, expected 0 or 1")
    return int(label), smiles


def _molecule(smiles: str) -> "Mol":
    from rdkit import Chem  # noqa: PLC0415

    molecule = Chem.MolFromSmiles(smiles)
    if molecule is not None and molecule.GetNumAtoms():
        return molecule
    parsed = Chem.MolFromSmiles(smiles, sanitize=False)
    if parsed is None:
        raise DatasetError("no SMILES")
    raise DatasetError("; ".join(problem.Message() for problem in Chem.DetectChemistryProblems(parsed)) or "no atoms")


def _graph(molecule: "Mol") -> "Data":
    from torch_geometric.utils.smiles import from_rdmol  # noqa: PLC0415

    try:
        return from_rdmol(molecule)
    except ValueError as error:
        raise DatasetError(f"PyG has no number for a feature of an atom or a bond: {error}") from None


def _collect(graphs: "list[Data]", labels: Tensor) -> GraphCollection:
    features = [cast(Tensor, graph.x).float() for graph in graphs]
    sizes = torch.tensor([len(rows) for rows in features])
    node_pointer = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    edges = [cast(Tensor, graph.edge_index) + first for graph, first in zip(graphs, node_pointer[:-1], strict=True)]
    return GraphCollection.from_edges(torch.cat(features), torch.cat(edges, dim=1), node_pointer, labels)


def _number_scaffolds(molecules: "list[Mol]") -> Tensor:
    """The number of each molecule's Bemis-Murcko scaffold, [molecules]."""
    from rdkit.Chem.Scaffolds.MurckoScaffold import MurckoScaffoldSmiles  # noqa: PLC0415

    return _number(MurckoScaffoldSmiles(mol=molecule, includeChirality=False) for molecule in molecules)


def _number(names: Iterable[Hashable]) -> Tensor:
    """The number of each name, in the order of first appearance, [names]."""
    numbers: dict[Hashable, int] = {}
    return torch.tensor([numbers.setdefault(name, len(numbers)) for name in names])

"""Molecules that do or do not pass the blood-brain barrier."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from gnn.artifacts import Artifact, ArtifactStore
from gnn.source_code import source_sha256
from gnn.tasks.data_source import DataSource, RawDataset, verify
from gnn.tasks.graph_classification import GraphClassification
from gnn.tasks.graph_collection import GraphCollection
from gnn.tasks.graph_splits import random_split, scaffold_split
from gnn.tasks.node_classification import Split
from gnn.tasks.planted_molecules import PlantedMolecules, plant_molecules
from gnn.tasks.registry import TaskRequest, register_task

if TYPE_CHECKING:
    from rdkit.Chem import Mol


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
    """A row that is no graph of the dataset: its line in the file (the header is line 1), its text, and why."""

    line: int
    smiles: str
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.smiles}: {self.reason}"


@dataclass(frozen=True, eq=False)
class Molecules:
    """The molecules as graphs, the number of each one's scaffold [graphs] int64, and the rows that gave none."""

    collection: GraphCollection
    scaffold: Tensor
    skipped: tuple[SkippedRow, ...]


@register_task("bbbp", BBBP)
def load_bbbp_random(request: TaskRequest) -> GraphClassification:
    """BBBP with 1,631 molecules to train on, 203 to validate and 205 to test, drawn anew for every seed.

    The same in both protocols. Shapes: features [49068, 9], the integers of PyG's `from_smiles` as float32; the
    features of bonds are left out; 2 classes.
    """
    molecules = load_bbbp(request.source, request.store)
    return _task(request, molecules, random_split(len(molecules.scaffold), request.seed))


@register_task("bbbp-scaffold", BBBP)
def load_bbbp_scaffold(request: TaskRequest) -> GraphClassification:
    """BBBP with the molecules of a Bemis-Murcko scaffold in one part, as DeepChem splits it; one split for all seeds.

    The same in both protocols and harder than the random split: 82% of the training, 55% of the validation and 52% of
    the test molecules are positive.
    """
    molecules = load_bbbp(request.source, request.store)
    return _task(request, molecules, scaffold_split(molecules.scaffold))


def load_bbbp(source: DataSource, store: ArtifactStore) -> Molecules:
    """BBBP's molecules from its raw file, or planted ones; processed once, then read from the store.

    Raises `DatasetError` when the raw file is not the known one.
    """
    files = {name: sha256 for name, (_, sha256) in BBBP.files.items()}
    if source.kind == "planted":
        files = {"planted": repr(PlantedMolecules())}
    key = {"kind": "processed", "dataset": BBBP.name, "files": files, "code": source_sha256("tasks")}
    artifact = store.load_or_build(key, lambda: _process(source))
    tensors = dict(artifact.tensors)
    scaffold = tensors.pop("scaffold")
    skipped = tuple(SkippedRow(**row) for row in json.loads(artifact.facts["skipped"]))
    return Molecules(GraphCollection(**tensors), scaffold, skipped)


def _process(source: DataSource) -> Artifact:
    molecules = Molecules(*plant_molecules(PlantedMolecules()), ()) if source.kind == "planted" else _read(source)
    tensors = molecules.collection.tensors | {"scaffold": molecules.scaffold}
    return Artifact(tensors, {"skipped": json.dumps([asdict(row) for row in molecules.skipped])})


def _task(request: TaskRequest, molecules: Molecules, split: Split) -> GraphClassification:
    return GraphClassification(
        name=request.name,
        source=request.source.kind,
        protocol="clean",
        collection=molecules.collection,
        split=split,
        classes=int(molecules.collection.labels.max()) + 1,
    )


def _read(source: DataSource) -> Molecules:
    return read_molecules(verify(BBBP, cast(Path, source.folder))["BBBP.csv"].decode("latin-1"))


def read_molecules(text: str) -> Molecules:
    """Turn a csv file of labels 0 or 1 and SMILES, with a header, into graphs.

    Rows that rdkit takes for no molecule are skipped, as PyG's MoleculeNet skips them, and listed.
    """
    # rdkit and PyG take seconds to import, so only the first run on a machine pays for them.
    from rdkit import Chem, rdBase  # noqa: PLC0415

    molecules: list[Mol] = []
    labels: list[int] = []
    skipped: list[SkippedRow] = []
    with rdBase.BlockLogs():
        for line, row in enumerate(text.splitlines()[1:], start=2):
            label, smiles = row.split(",")
            molecule = Chem.MolFromSmiles(smiles)
            if molecule is None or molecule.GetNumAtoms() == 0:
                skipped.append(SkippedRow(line, smiles, _why_no_molecule(smiles)))
                continue
            molecules.append(molecule)
            labels.append(int(label))
        return Molecules(_collect(molecules, torch.tensor(labels)), _number_scaffolds(molecules), tuple(skipped))


def _why_no_molecule(smiles: str) -> str:
    from rdkit import Chem  # noqa: PLC0415

    molecule = Chem.MolFromSmiles(smiles, sanitize=False)
    if molecule is None:
        return "no SMILES"
    return "; ".join(problem.Message() for problem in Chem.DetectChemistryProblems(molecule)) or "no atoms"


def _collect(molecules: "list[Mol]", labels: Tensor) -> GraphCollection:
    from torch_geometric.utils.smiles import from_rdmol  # noqa: PLC0415

    graphs = [from_rdmol(molecule) for molecule in molecules]
    features = [cast(Tensor, graph.x).float() for graph in graphs]
    sizes = torch.tensor([len(rows) for rows in features])
    node_pointer = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    edges = [cast(Tensor, graph.edge_index) + first for graph, first in zip(graphs, node_pointer[:-1], strict=True)]
    return GraphCollection.from_edges(torch.cat(features), torch.cat(edges, dim=1), node_pointer, labels)


def _number_scaffolds(molecules: "list[Mol]") -> Tensor:
    """The number of each molecule's Bemis-Murcko scaffold, in the order of first appearance, [molecules]."""
    from rdkit.Chem.Scaffolds.MurckoScaffold import MurckoScaffoldSmiles  # noqa: PLC0415

    numbers: dict[str, int] = {}
    scaffolds = [MurckoScaffoldSmiles(mol=molecule, includeChirality=False) for molecule in molecules]
    return torch.tensor([numbers.setdefault(scaffold, len(numbers)) for scaffold in scaffolds])

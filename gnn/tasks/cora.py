"""Cora's raw files."""

from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from gnn.artifacts import Artifact, ArtifactStore
from gnn.source_code import source_sha256
from gnn.tasks.citation_tensors import CitationTensors
from gnn.tasks.data_source import DataSource, RawDataset, verify
from gnn.tasks.pickled_arrays import unpickle_arrays
from gnn.tasks.planted import PlantedCitationGraph, plant_citation_graph

CORA = RawDataset(
    name="Cora",
    folder="Planetoid/Cora/raw",
    url="https://github.com/kimiyoung/planetoid/raw/master/data",
    files={
        "ind.cora.x": (22119, "23cfa55d91c6f624233f5eb7b6e3f141f1bd2b2ae39608a63cf5d084bb27baab"),
        "ind.cora.tx": (148025, "b9afbaa4a400df991f6f02ef677e1e44da55ffc04801fd02f9e673987829226a"),
        "ind.cora.allx": (257305, "9419ba2f26f5c35243db64aba110e0f35a04851609e0dc5433450676ca6b8543"),
        "ind.cora.y": (4054, "94465c14eb53e04ca262198dcbb2521ee8af60fb3f3d546cd6ca24a511b0e7d1"),
        "ind.cora.ty": (28135, "41f5ac76596a1699cc33f53084a2419e92961c42bb75f36fc38e616d348532ad"),
        "ind.cora.ally": (47959, "2b998f5cc7fedc86e7f97ca2498f47a1ffc1462c29e2d578b23bf3f62b6e7d71"),
        "ind.cora.graph": (59847, "58f13302f39dde8852dad6fe6d15b89b077b6d7f837626bce671ef80344b383d"),
        "ind.cora.test.index": (5000, "297ce89af2b51a6a194181c7dbe1796c6a1cf9cd9349a88383b1b1e227867875"),
    },
)


def load_cora(source: DataSource, store: ArtifactStore) -> CitationTensors:
    """Cora's tensors from its raw files, or planted ones; processed once, then read from the store.

    The raw files are pickles: their checksums are compared before they are read, as arrays and nothing else. Raises
    `DatasetError`.
    """
    files = {name: sha256 for name, (_, sha256) in CORA.files.items()}
    if source.kind == "planted":
        files = {"planted": repr(PlantedCitationGraph())}
    key = {"kind": "processed", "dataset": CORA.name, "files": files, "code": source_sha256(_process)}
    tensors = dict(store.load_or_build(key, lambda: _process(source)).tensors)
    nodes, features = tensors.pop("shape").tolist()
    return CitationTensors(**tensors, shape=(nodes, features))


def _process(source: DataSource) -> Artifact:
    tensors = plant_citation_graph(PlantedCitationGraph()) if source.kind == "planted" else _read(source)
    return Artifact({**vars(tensors), "shape": torch.tensor(tensors.shape)})


def _read(source: DataSource) -> CitationTensors:
    """The tensors that PyG's `read_planetoid_data` makes of the files, here of the very bytes that were checked."""
    files = verify(CORA, cast(Path, source.folder))
    features, labels = (
        torch.cat([_matrix(files[f"ind.cora.{part}"]) for part in parts]) for parts in (("allx", "tx"), ("ally", "ty"))
    )
    # The rows of the test part are shuffled; the file says which node each is of.
    shuffled = torch.tensor([int(node) for node in files["ind.cora.test.index"].split()])
    for rows in (features, labels):
        rows[shuffled] = rows[shuffled.sort().values]
    nodes, words = features.shape
    row, column = features.nonzero(as_tuple=True)
    return CitationTensors(row, column, _edges(files["ind.cora.graph"], nodes), labels.argmax(1), (nodes, words))


def _matrix(pickled: bytes) -> Tensor:
    matrix = unpickle_arrays(pickled)
    return torch.from_numpy(matrix.toarray() if hasattr(matrix, "toarray") else matrix).float()


def _edges(pickled: bytes, nodes: int) -> Tensor:
    """Edges without loops and duplicates, sorted by their second node, [2, edges]."""
    neighbours = unpickle_arrays(pickled)
    pairs = torch.tensor([(node, other) for node, others in neighbours.items() for other in others])
    row, column = pairs[pairs[:, 0] != pairs[:, 1]].unbind(1)
    key = (column * nodes + row).unique()
    return torch.stack([key % nodes, key // nodes])

"""Cora's raw files, read through PyG."""

from dataclasses import fields
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from gnn.artifacts import Artifact, ArtifactStore
from gnn.source_code import source_sha256
from gnn.tasks.citation_tensors import CitationTensors
from gnn.tasks.data_source import DataSource, RawDataset, verify
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

    The raw files are pickles: their checksums are compared before they are read. Raises `DatasetError`.
    """
    files = {name: sha256 for name, (_, sha256) in CORA.files.items()}
    if source.kind == "planted":
        files = {"planted": repr(PlantedCitationGraph())}
    key = {"kind": "processed", "dataset": CORA.name, "files": files, "code": source_sha256("tasks")}
    artifact = store.load_or_build(key, lambda: _process(source))
    tensors = {field.name: artifact.tensors[field.name] for field in fields(CitationTensors) if field.name != "shape"}
    nodes, features = artifact.tensors["shape"].tolist()
    return CitationTensors(**tensors, shape=(nodes, features))


def _process(source: DataSource) -> Artifact:
    tensors = plant_citation_graph(PlantedCitationGraph()) if source.kind == "planted" else _read(source)
    content: dict[str, Tensor] = {
        field.name: getattr(tensors, field.name) for field in fields(tensors) if field.name != "shape"
    }
    return Artifact({**content, "shape": torch.tensor(tensors.shape)})


def _read(source: DataSource) -> CitationTensors:
    # PyG takes seconds to import, so only the first run on a machine pays for it.
    from torch_geometric.io import read_planetoid_data  # noqa: PLC0415

    folder = cast(Path, source.folder)
    verify(CORA, folder)
    data = read_planetoid_data(str(folder), "cora")
    x, edge_index, labels = cast(tuple[Tensor, Tensor, Tensor], (data.x, data.edge_index, data.y))
    row, column = x.nonzero(as_tuple=True)
    return CitationTensors(row, column, edge_index, labels, (x.shape[0], x.shape[1]))

"""Tell enzymes from other proteins by the graph of their secondary structure."""

from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from gnn.artifacts import Artifact, ArtifactStore
from gnn.leftovers import temporary_folder
from gnn.source_code import source_sha256
from gnn.tasks.data_source import DataSource, RawDataset, verify
from gnn.tasks.graph_classification import GraphClassification
from gnn.tasks.graph_collection import GraphCollection
from gnn.tasks.graph_splits import random_split
from gnn.tasks.planted_graphs import PROTEINS_LIKE, plant_graphs
from gnn.tasks.registry import TaskRequest, register_task

PAPER_SPLIT_SEED = 777

PROTEINS = RawDataset(
    name="PROTEINS",
    folder="TUDataset/PROTEINS/raw",
    url="https://www.chrsmrrs.com/graphkerneldatasets",
    archive="PROTEINS.zip",
    files={
        "PROTEINS_A.txt": (2022990, "4c4b33e272fc95cac6d27ed6d5d12b9a852c8610e91fff59f8f0dbdd5a20df67"),
        "PROTEINS_graph_indicator.txt": (169673, "8d4ff1e852a5c28561e9bffb44cf9490bc552b13a3b6156dd12dc7f44e9afc4a"),
        "PROTEINS_graph_labels.txt": (2226, "c0ef9810c440775252872318d0c8adc385588e14bc4c47a2c34aa96ee3c7cdcd"),
        "PROTEINS_node_attributes.txt": (478190, "54eef829abb37e458a5fbf3a3c581e48e5810e220463c2cd951856b9ceb08f07"),
        "PROTEINS_node_labels.txt": (86942, "f758e8ad3d6e3c026b50833d75f6f90735b94eb3345e4243707f495ca8afea8d"),
    },
)


@register_task("proteins", PROTEINS)
def load_proteins_task(request: TaskRequest) -> GraphClassification:
    """PROTEINS with 890 graphs to train on, 111 to validate and 112 to test.

    Protocol "clean": a new random split for every seed. Protocol "paper": for every seed the one split of the official
    code of HGP-SL, random_split after torch.manual_seed(777), whose test part is 69.6% one class (the whole dataset:
    59.6%). Shapes: features [43471, 4], an attribute as it is in the file (-538 to 798) and three one-hot labels;
    edge_index [2, 162088]; 2 classes.
    """
    collection = load_proteins(request.source, request.store)
    seed = request.seed if request.protocol == "clean" else PAPER_SPLIT_SEED
    return GraphClassification(
        name=request.name,
        source=request.source.kind,
        protocol=request.protocol,
        collection=collection,
        split=random_split(len(collection.labels), seed),
        classes=int(collection.labels.max()) + 1,
    )


def load_proteins(source: DataSource, store: ArtifactStore) -> GraphCollection:
    """PROTEINS' graphs from its raw files, or planted ones; processed once, then read from the store.

    Raises `DatasetError` when a raw file is not the published one.
    """
    files = {name: sha256 for name, (_, sha256) in PROTEINS.files.items()}
    if source.kind == "planted":
        files = {"planted": repr(PROTEINS_LIKE)}
    key = {"kind": "processed", "dataset": PROTEINS.name, "files": files, "code": source_sha256(_process)}
    return GraphCollection(**store.load_or_build(key, lambda: _process(source)).tensors)


def _process(source: DataSource) -> Artifact:
    collection = plant_graphs(PROTEINS_LIKE)[0] if source.kind == "planted" else _read(source)
    return Artifact(collection.tensors)


def _read(source: DataSource) -> GraphCollection:
    # PyG takes seconds to import, so only the first run on a machine pays for it.
    from torch_geometric.io import read_tu_data  # noqa: PLC0415

    checked = verify(PROTEINS, cast(Path, source.folder))
    # PyG reads files alone, so it gets its own of what was checked.
    with temporary_folder() as folder:
        for name, content in checked.items():
            (folder / name).write_bytes(content)
        data, slices, _ = read_tu_data(str(folder), PROTEINS.name)
    x, edge_index, labels = cast(tuple[Tensor, Tensor, Tensor], (data.x, data.edge_index, data.y))
    # PyG numbers the nodes of every graph from zero.
    first_node = torch.repeat_interleave(slices["x"][:-1], slices["edge_index"].diff())
    return GraphCollection.from_edges(x, edge_index + first_node, slices["x"], labels)

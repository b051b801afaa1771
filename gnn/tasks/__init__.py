"""What a model is asked: graphs, splits, loss and metric, one task a file."""

from gnn.registry import import_parts
from gnn.tasks.data_source import DataSearch, DataSource
from gnn.tasks.fingerprint import fingerprint
from gnn.tasks.graph_classification import GraphClassification
from gnn.tasks.graph_collection import GraphBatch, GraphCollection
from gnn.tasks.link_prediction import LinkPrediction, Links
from gnn.tasks.node_classification import Graph, NodeClassification, Split
from gnn.tasks.registry import (
    MISSING,
    PLANTED_PREFIX,
    PROTOCOLS,
    TASKS,
    TaskRequest,
    load_task,
    locate_task,
    task_name,
)
from gnn.tasks.task import PARTS, Task

import_parts(__name__, __path__)

__all__ = [
    "MISSING",
    "PARTS",
    "PLANTED_PREFIX",
    "PROTOCOLS",
    "TASKS",
    "DataSearch",
    "DataSource",
    "Graph",
    "GraphBatch",
    "GraphClassification",
    "GraphCollection",
    "LinkPrediction",
    "Links",
    "NodeClassification",
    "Split",
    "Task",
    "TaskRequest",
    "fingerprint",
    "load_task",
    "locate_task",
    "task_name",
]

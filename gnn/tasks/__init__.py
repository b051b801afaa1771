"""What a model is asked: graphs, splits, loss and metric, one task a file."""

from gnn.tasks import bbbp as _bbbp  # noqa: F401  (registers itself)
from gnn.tasks import cora_link as _cora_link  # noqa: F401  (registers itself)
from gnn.tasks import cora_node as _cora_node  # noqa: F401  (registers itself)
from gnn.tasks import proteins as _proteins  # noqa: F401  (registers itself)
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

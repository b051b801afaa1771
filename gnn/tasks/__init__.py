"""What a model is asked: graphs, splits, loss and metric, one task a file."""

from gnn.tasks import cora_node as _cora_node  # noqa: F401  (registers itself)
from gnn.tasks.data_source import DataSearch, DataSource
from gnn.tasks.node_classification import Graph, NodeClassification, Split, fingerprint
from gnn.tasks.registry import PLANTED_PREFIX, PROTOCOLS, TASKS, load_task, locate_task, task_name

__all__ = [
    "PLANTED_PREFIX",
    "PROTOCOLS",
    "TASKS",
    "DataSearch",
    "DataSource",
    "Graph",
    "NodeClassification",
    "Split",
    "fingerprint",
    "load_task",
    "locate_task",
    "task_name",
]

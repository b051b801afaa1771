"""What a model is asked: graphs, splits, loss and metric, one task a file."""

from gnn.registry import import_parts
from gnn.tasks.data_source import DataSearch, DataSource
from gnn.tasks.fingerprint import fingerprint
from gnn.tasks.given import GivenTask, graph_task, node_task
from gnn.tasks.given_links import link_task
from gnn.tasks.graph_classification import GraphClassification
from gnn.tasks.graph_collection import GraphBatch, GraphCollection
from gnn.tasks.link_prediction import LinkPrediction, Links
from gnn.tasks.node_classification import Graph, NodeClassification, Split
from gnn.tasks.objectives import Binary, MultiClass, MultiLabel, Objective, Regression
from gnn.tasks.registry import (
    GIVEN,
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
    "GIVEN",
    "MISSING",
    "PARTS",
    "PLANTED_PREFIX",
    "PROTOCOLS",
    "TASKS",
    "Binary",
    "DataSearch",
    "DataSource",
    "GivenTask",
    "Graph",
    "GraphBatch",
    "GraphClassification",
    "GraphCollection",
    "LinkPrediction",
    "Links",
    "MultiClass",
    "MultiLabel",
    "NodeClassification",
    "Objective",
    "Regression",
    "Split",
    "Task",
    "TaskRequest",
    "fingerprint",
    "graph_task",
    "link_task",
    "load_task",
    "locate_task",
    "node_task",
    "task_name",
]

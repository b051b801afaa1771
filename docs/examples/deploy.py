"""Run a file where only torch and this library are installed: `python deploy.py model.safetensors`."""

import sys

import torch

import gnn
from gnn.tasks import GraphBatch

loaded = gnn.load(sys.argv[1])
model = gnn.compile(loaded.model)
channels = loaded.model.settings.in_channels
edges = torch.tensor([[0, 1, 1, 2, 3, 4], [1, 0, 2, 1, 4, 3]])
molecules = GraphBatch(torch.ones(5, channels), edges, node_pointer=torch.tensor([0, 3, 5]), labels=torch.zeros(2))
with torch.inference_mode():
    print(f"{loaded.model_name} on {loaded.task}: classes {model(molecules).argmax(1).tolist()}")

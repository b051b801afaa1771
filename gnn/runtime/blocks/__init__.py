"""Inference on graphs that do not fit into memory: layer by layer, over blocks of nodes."""

from gnn.runtime.blocks.inference import infer_in_blocks

__all__ = ["infer_in_blocks"]

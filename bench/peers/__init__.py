"""Other runtimes that the same models are timed on."""

from bench.peers import inductor, onnx_runtimes, torchao  # noqa: F401  (each registers its own)
from bench.peers.registry import PEERS, Peer, peer, prepared

__all__ = ["PEERS", "Peer", "peer", "prepared"]

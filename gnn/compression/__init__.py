"""Methods that make a model smaller, one a file."""

from gnn.compression.a2q import A2q
from gnn.compression.bf16 import Bf16
from gnn.compression.context import Compressed, Context, TrainingContext
from gnn.compression.degree_quant import DegreeQuant
from gnn.compression.dense import Dense
from gnn.compression.fine_grained import FineGrained
from gnn.compression.global_magnitude import GlobalMagnitude
from gnn.compression.gradual import Gradual
from gnn.compression.hybrid import Hybrid
from gnn.compression.l2 import L2
from gnn.compression.layer_adaptive import LayerAdaptive
from gnn.compression.lottery_ticket import LotteryTicket
from gnn.compression.masks import Masks, fine_tune
from gnn.compression.post_training import PostTraining
from gnn.compression.prunable import prunable_parameters, sparsity_of
from gnn.compression.qat import Qat
from gnn.compression.registry import METHODS, CompressionSettings, check, compress, register_method
from gnn.compression.sensitivity import LayerSensitivity, Sensitivity, sensitivity_scan
from gnn.compression.structured import Structured
from gnn.registry import import_parts

import_parts(__name__, __path__)

__all__ = [
    "L2",
    "METHODS",
    "A2q",
    "Bf16",
    "Compressed",
    "CompressionSettings",
    "Context",
    "DegreeQuant",
    "Dense",
    "FineGrained",
    "GlobalMagnitude",
    "Gradual",
    "Hybrid",
    "LayerAdaptive",
    "LayerSensitivity",
    "LotteryTicket",
    "Masks",
    "PostTraining",
    "Qat",
    "Sensitivity",
    "Structured",
    "TrainingContext",
    "check",
    "compress",
    "fine_tune",
    "prunable_parameters",
    "register_method",
    "sensitivity_scan",
    "sparsity_of",
]

"""Any model as fast inference: real kernels by rules per type of layer, fused where a trace succeeds."""

from gnn.runtime import attention_layers as _attention_layers  # noqa: F401  (its rules register themselves)
from gnn.runtime import gin_layers as _gin_layers  # noqa: F401  (its rules register themselves)
from gnn.runtime import hgpsl_layers as _hgpsl_layers  # noqa: F401  (its rules register themselves)
from gnn.runtime import integer_layers as _integer_layers  # noqa: F401  (its rules register themselves)
from gnn.runtime import onnx_pyg_rules as _onnx_pyg_rules  # noqa: F401  (its rules register themselves)
from gnn.runtime import own_layers as _own_layers  # noqa: F401  (its rules register themselves)
from gnn.runtime import pyg_layers as _pyg_layers  # noqa: F401  (its rules register themselves)
from gnn.runtime.blocks import infer_in_blocks
from gnn.runtime.compiled import (
    Inference,
    compile,  # noqa: A004
    compile_inference,
    explain,
    model_inference,
    untouched_layers,
)
from gnn.runtime.onnx_export import OnnxFile, export_onnx

__all__ = [
    "Inference",
    "OnnxFile",
    "compile",
    "compile_inference",
    "explain",
    "export_onnx",
    "infer_in_blocks",
    "model_inference",
    "untouched_layers",
]

"""ONNX Runtime and OpenVINO, of the file that our own export writes."""

import importlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.peers.registry import peer
from bench.runtime.subject import Subject
from gnn.errors import SettingError
from gnn.leftovers import temporary_folder
from gnn.runtime import Inference, OnnxFile, export_onnx

FP32_ONLY = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}


@peer("ONNX Runtime FP32", "onnx", "onnxruntime")
def onnx_runtime(subject: Subject) -> Inference:
    """The dense model."""
    return _with_onnx_runtime(subject, subject.model)


@peer("ONNX Runtime INT8", "onnx", "onnxruntime")
def onnx_runtime_int8(subject: Subject) -> Inference:
    """The model quantized after training, with codes of 8 bits in its file."""
    return _with_onnx_runtime(subject, _quantized(subject))


@peer("OpenVINO FP32", "onnx", "openvino")
def openvino(subject: Subject) -> Inference:
    """The dense model."""
    return _with_openvino(subject, subject.model)


@peer("OpenVINO INT8", "onnx", "openvino")
def openvino_int8(subject: Subject) -> Inference:
    """The model quantized after training, with codes of 8 bits in its file."""
    return _with_openvino(subject, _quantized(subject))


def _quantized(subject: Subject) -> nn.Module:
    if subject.quantized is None:
        raise SettingError("the model cannot be quantized")
    return subject.quantized


def _with_onnx_runtime(subject: Subject, model: nn.Module) -> Inference:
    runtime: Any = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    example = subject.example(model)
    with temporary_folder() as folder:
        file = _exported(model, example, folder)
        session = runtime.InferenceSession(file.path, options, providers=["CPUExecutionProvider"])
    feed = file.feed(*example)
    return torch.inference_mode()(lambda: subject.finish(torch.from_numpy(session.run(None, feed)[0])))


def _with_openvino(subject: Subject, model: nn.Module) -> Inference:
    runtime: Any = importlib.import_module("openvino")
    example = subject.example(model)
    with temporary_folder() as folder:
        file = _exported(model, example, folder)
        request = runtime.Core().compile_model(file.path, "CPU", FP32_ONLY).create_infer_request()
    feed = file.feed(*example)

    @torch.inference_mode()
    def infer() -> Tensor:
        # What it gives lies in memory that its next call writes to.
        return subject.finish(torch.from_numpy(request.infer(feed)[0]).clone())

    return infer


def _exported(model: nn.Module, example: tuple[Any, ...], folder: Path) -> OnnxFile:
    return export_onnx(model, example, folder / "model.onnx")

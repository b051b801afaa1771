"""The case of a GPU, as far as a machine without one can run it."""

import warnings
from dataclasses import replace
from typing import Any

import pytest
import torch

from bench import test_cuda as module
from bench.report.sentences import cuda_sentence
from bench.test_cuda import measured_on, share_apart
from gnn.models import build_model_for
from gnn.runtime import compile_inference
from tests.fixtures.conftest import small_task


def measured() -> dict[str, Any]:
    task = replace(small_task(), name="planted-cora-node")
    return measured_on("cpu", "spline", build_model_for("spline", task), task)


def test_a_device_is_measured_beside_the_processor() -> None:
    found = measured()
    assert (found["model"], found["device"], found["peak_bytes"]) == ("planted-cora-node.spline", "cpu", None)
    assert found["rows_apart"] == 0
    assert found["latency_s"] > 0
    assert found["processor_latency_s"] > 0


def test_other_outputs_on_the_device_are_red(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[Any] = []

    def one_is_off(*arguments: Any, **settings: Any) -> Any:  # noqa: ANN401
        infer = compile_inference(*arguments, **settings)
        compiled.append(infer)
        offset = float(len(compiled) - 1)
        return lambda: infer() + offset

    monkeypatch.setattr(module, "compile_inference", one_is_off)
    with pytest.raises(AssertionError, match=r"100\.0% of the rows of spline on cpu are not the processor's"):
        measured()


def test_rows_that_are_apart_are_counted_not_a_number_among_them() -> None:
    ours = torch.tensor([[1.0, 2.0], [1.0, float("nan")], [1.0, 2.1], [1.0, 2.0]])
    assert share_apart(ours, torch.tensor([[1.0, 2.0]]).expand(4, 2)) == 0.5


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without a CUDA device")
def test_the_sentence_says_what_was_not_measured() -> None:
    sentence = cuda_sentence({**measured(), "latency_s": 0.0001, "processor_latency_s": 0.0002, "energy_j": None})
    assert sentence.startswith("planted-cora-node.spline on cpu: 0.1 ms, on the processor 0.2 ms; ")
    assert sentence.endswith("its memory was not measured, its energy was not measured")


def test_the_sentence_has_memory_and_energy() -> None:
    found = {"model": "a.b", "device": "A100", "latency_s": 0.001, "processor_latency_s": 0.01, "peak_bytes": 3_000_000}
    sentence = cuda_sentence({**found, "energy_j": 0.25, "energy_source": "nvml", "rows_apart": 1 / 112})
    assert sentence == (
        "a.b on A100: 1 ms, on the processor 10 ms; 3.0 MB of tensors at most, 0.25 J (nvml); "
        "0.9% of the rows are not the processor's"
    )


def test_a_gpu_that_cannot_be_used_is_skipped_with_what_pytorch_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: warnings.warn("the driver is too old", stacklevel=1))
    unused: Any = None
    with pytest.raises(pytest.skip.Exception, match=r"PyTorch sees none on this machine \(the driver is too old\)"):
        module.test_on_a_gpu("cora-node", "spline", unused, unused)

"""The shipped file in every precision: how near to the entropy it is, what it costs, how fast it is read."""

import io
import statistics
import time
from pathlib import Path

import pytest
import torch

from bench.findings import file_as_reported, of_every_run
from bench.matrix import STORAGE
from fixtures.cases import SeededCase
from fixtures.gate import Judge
from fixtures.latency import BlockProtocol, compare_latency
from fixtures.session import BenchSession
from fixtures.speed import Speed, SpeedReport
from gnn import storage
from gnn.case import Case
from gnn.compression import Dense, GlobalMagnitude, compress
from gnn.trial import Trial

CASES = STORAGE
NOT_TIMED = (
    "not timed, to save time: weights are decoded to FP32 before the first inference, and the same case stored in FP32 "
    "is timed (words that rounding empties may save a little more)"
)
DECODED_SPARSITY = 0.5
DECODED_TIMES = 31


def test_storage(seeded_case: SeededCase, judge: Judge) -> None:
    """A file is as small as its thresholds say, and holds the very model whose accuracy is reported."""
    judge(seeded_case, findings=[of_every_run(file_as_reported)], not_timed=NOT_TIMED)


@pytest.mark.profiles("ci", "paper")
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8", "int4"])
def test_decoding(precision: str, bench_session: BenchSession, report_speed: SpeedReport, tmp_path: Path) -> None:
    """SplineNet is read from its file in milliseconds, checks, checksum and model included.

    The peer only reads tensors, without a check and without a model around them, so it may be some times faster.
    """
    case = Case("cora-node", "spline", Dense()).on(bench_session.run_context.sources["cora-node"])
    path, dense = tmp_path / "model", io.BytesIO()
    with bench_session.machine_lock.shared(f"training {case.id}, seed 0"):
        model = compress(Trial(case, 0, bench_session.run_context).base.model, GlobalMagnitude(DECODED_SPARSITY)).model
        storage.save(model, path, model_name=case.model, task=case.task, precision=precision)
        torch.save(model.state_dict(), dense)
    with bench_session.machine_lock.exclusive(f"measuring the decoding of {case.id} from {precision}"):
        both = (lambda: (dense.seek(0), torch.load(dense)), lambda: storage.load(path))
        comparison = compare_latency([both], BlockProtocol(budget_s=1.0))
        decoding_cpu_s = statistics.median(cpu_s_of_loading(path) for _ in range(DECODED_TIMES))
    report_speed(
        Speed(
            name=f"{case.task}.{case.model} decoded from {precision} at sparsity {DECODED_SPARSITY:g}",
            cpu_s=decoding_cpu_s,
            target_cpu_s=0.005,
            ratio=comparison.ratio,
            peer="torch.load of the dense state",
        )
    )


def cpu_s_of_loading(path: Path) -> float:
    """CPU seconds of reading a model file once."""
    start = time.process_time()
    storage.load(path)
    return time.process_time() - start

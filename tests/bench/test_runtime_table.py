"""Peers that cannot be measured say why, and the tables say no more than was measured."""

import copy
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from bench.peers import PEERS, Peer, prepared
from bench.report.runtime_tables import peaks_sentence, roofline_table, runtime_sentence, speed_table
from bench.runtime import page
from bench.runtime.measuring import Options, Row, measured
from bench.runtime.subject import Subject, difference
from bench.runtime.subjects import TARGETS, Target
from bench.runtime.work import Peaks, Work, as_json, work_of
from bench.test_runtime import faults_of
from fixtures.latency import BlockProtocol
from gnn.errors import SettingError
from gnn.runtime import Inference
from tests.gnn.citation_checks import link_task
from tests.gnn.conftest import build_small_task
from tests.gnn.random_graphs import random_task

DENSE = Row(
    "FP32", peer=False, seconds=2e-3, over_eager=4.0, over_fp32=1.0, interval=(3.5, 4.5), difference=0, flop=1e6
)
NARROW = replace(
    DENSE, name="structured .5", seconds=1e-3, over_eager=8.0, over_fp32=2.0, interval=(1.9, 2.1), flop=5e5
)
SLOW = Row("a peer", peer=True, seconds=8e-3, over_eager=1.0, over_fp32=0.25, interval=(0.2, 0.3), difference=0.1)
ABSENT = Row("absent", peer=True, reason="absent not installed; pip install '.[peers]'")
PROTOCOL = BlockProtocol(minimum_blocks=6, maximum_blocks=6, budget_s=0.01)


def found(model: str, *rows: Row) -> Mapping[str, Any]:
    return {
        "model": model,
        "batch": "128",
        "what": "128 graphs",
        "work": as_json(Work(flop=1e6, product_bytes=1e3, message_bytes=2e6)),
        "peaks": as_json(Peaks(flop=1e9, byte_operations=4e9, cache_bytes=1e10, memory_bytes=5e9)),
        "rows": [asdict(row) for row in rows],
    }


def linear_subject() -> Subject:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    return Subject("linear", "1", "5 rows", model, copy.deepcopy(model), (torch.randn(5, 3),))


def test_a_peer_says_why_it_is_not_measured() -> None:
    def refuse(_subject: Subject) -> Inference:
        raise RuntimeError("no\nsuch " + "long reason " * 50)

    def refuse_kindly(_subject: Subject) -> Inference:
        raise SettingError("it has a rule for none")

    subject = linear_subject()
    assert prepared(Peer(refuse, ("no-such-package",)), subject) == (
        None,
        "no-such-package not installed; pip install '.[peers]'",
    )
    inference, reason = prepared(Peer(refuse), subject)
    assert inference is None
    assert reason.startswith("RuntimeError: no such long reason")
    assert len(reason) <= 160
    assert prepared(Peer(refuse_kindly), subject) == (None, "it has a rule for none")


def test_every_method_and_every_peer_has_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = linear_subject()
    wrong = copy.deepcopy(subject.model)
    nn.init.zeros_(next(wrong.parameters()))
    monkeypatch.setattr(
        "bench.runtime.measuring.PEERS",
        {
            "same": Peer(lambda subject: subject.forward(subject.model)),
            "wrong": Peer(lambda subject: subject.forward(wrong)),
            "minutes": Peer(lambda subject: subject.forward(wrong), expensive=True),
        },
    )
    narrow = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2)).eval()
    rows = {row.name: row for row in measured(subject, {"narrow": narrow, "none": "why"}, Options(PROTOCOL, PROTOCOL))}
    assert list(rows) == ["FP32", "narrow", "none", "same", "wrong", "minutes"]
    assert rows["none"].reason == "why"
    assert "not asked for" in rows["minutes"].reason
    assert rows["none"].seconds is rows["minutes"].over_fp32 is None
    assert (rows["FP32"].flop, rows["narrow"].flop) == (2.0 * 5 * (3 * 4 + 4 * 2), 2.0 * 5 * (3 * 2 + 2 * 2))
    differences = {name: row.difference for name, row in rows.items() if row.difference is not None}
    assert differences.pop("wrong") > 1e-2
    assert max(differences.values()) < 1e-5
    dense, same, narrow_row = rows["FP32"], rows["same"], rows["narrow"]
    assert all(isinstance(number, float) for number in (dense.deduplication, dense.preparing))
    assert (dense.over_fp32_deduplicated, narrow_row.deduplication, same.over_fp32_deduplicated) == (1.0, None, None)
    assert isinstance(narrow_row.over_fp32_deduplicated, float)
    assert dense.over_eager is not None
    assert same.over_fp32 is not None
    assert same.over_eager == pytest.approx(dense.over_eager * same.over_fp32)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_eager_and_compiled_compute_the_model(target: Target) -> None:
    task = {"cora-node": build_small_task, "cora-link": link_task}.get(target.task, random_task)()
    model = target.dense(task)
    for subject in target.on_batches(model, task, ("1", "all")):
        expected = subject.forward(model)()
        # Rounding decides which of two nodes with equal scores HGP-SL keeps.
        assert difference(subject.eager_inference()(), expected) < (1e-5 if target.model != "hgpsl" else 0.5)
        assert difference(subject.compiled(model)(), expected) < 1e-5
        work = work_of(subject.forward(model))
        assert work.message_bytes > 0
        # All products of NESS are sums over the words of a node.
        assert (work.flop > 0) == (target.model != "ness")


def test_a_difference_is_a_share_of_the_largest_number() -> None:
    assert difference(torch.tensor([1.0, 8.5]), torch.tensor([1.0, 8.0])) == pytest.approx(0.0625)
    assert difference(torch.ones(2), torch.ones(3)) == float("inf")
    assert difference(torch.tensor([torch.nan]), torch.ones(1)) == float("inf")


def test_what_was_not_measured_is_said_once() -> None:
    tables = [found("a", DENSE, NARROW, SLOW, ABSENT), found("b", DENSE, ABSENT)]
    text = speed_table(tables).text()
    assert "4.00 [3.50, 4.50]" in text
    assert "2.00 [1.90, 2.10]" in text
    assert "(a peer)" in text
    assert text.count("absent not installed") == 1
    assert "(absent) on every model" in text
    assert "(absent) on b:" in speed_table([found("a", DENSE), found("b", ABSENT)]).text()


def test_a_roofline_tells_what_is_left_to_gain() -> None:
    table = roofline_table([found("a", DENSE, NARROW, SLOW, ABSENT)])
    # 1e6 / 1e9 s of products and 2e6 / 1e10 s of messages: 1.2 ms.
    assert [table.shown(row) for row in table.rows] == [
        ["a", "128", "FP32", "1", "2", "1.2", "2", "60%", "1.00", "1.00"],
        ["a", "128", "structured .5", "-", "-", "-", "1", "-", "2.00", "2.00"],
    ]
    assert "1 GFLOP/s" in peaks_sentence([found("a", DENSE)])
    assert runtime_sentence(found("a", DENSE, NARROW, SLOW, ABSENT)) == (
        "a on 128 graphs: FP32 4.00 times as fast as PyG eager, structured .5 2.00 times as that"
    )


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (DENSE, None),
        (replace(DENSE, difference=1e-4), "is 0.0001 from the model's own forward pass"),
        (replace(DENSE, difference=float("nan")), "is nan from"),
        (replace(DENSE, over_eager=0.5, interval=(0.4, 0.6)), "is 0.50 times as fast as PyG eager"),
    ],
)
def test_what_every_processor_keeps_turns_red(row: Row, said: str | None) -> None:
    faults = faults_of(linear_subject(), [row, replace(NARROW, name="INT8", difference=0.1), SLOW, ABSENT])
    assert [said in fault for fault in faults] == ([True] if said else [])  # pyright: ignore[reportOperatorIssue]


def test_the_page_is_written_between_its_markers(tmp_path: Path) -> None:
    document = {"runtime": [found("a", DENSE, NARROW)], "machine": MACHINE, "versions": {"torch": "2", "python": "3"}}
    sections = page.sections_of(document)
    assert list(sections) == ["runtime", "roofline"]
    graph = {
        "model": "GCN",
        "nodes": 10,
        "edges": 100,
        "cpu_s": 1e-3,
        "peak_bytes": None,
        "error": 0,
        "memory_limit": 1,
    }
    sections |= page.sections_of({**document, "scaling": [graph]}) | page.other_machine(document)
    assert list(sections) == ["runtime", "roofline", "scaling", "other machine"]
    with pytest.raises(SettingError, match=r"have no runtime in them; run scripts/bench bench/test_runtime\.py"):
        page.sections_of({"cases": []})
    written = page.PAGE.read_text()
    assert all(f"<!-- {name} -->" in written and f"<!-- end of {name} -->" in written for name in sections)
    assert not list(tmp_path.iterdir())


MACHINE = dict.fromkeys(("cpu", "class", "cores", "threads", "system", "kernel_release", "allocator"), "one")


def test_peers_are_all_there() -> None:
    assert {"torch.compile, 1 thread", "torch.compile, all cores", "AOTInductor, 1 thread"} <= PEERS.keys()
    assert {"ONNX Runtime FP32", "OpenVINO INT8", "torchao INT8"} <= PEERS.keys()

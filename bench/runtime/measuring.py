"""Times every method and every peer on a subject, all against our own best FP32 in the same process."""

import copy
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from bench.peers import PEERS, Peer, prepared
from bench.runtime.subject import Subject, difference
from bench.runtime.work import work_of
from fixtures.latency import BlockProtocol, Comparison, compare_latency
from gnn.runtime import Inference, compile  # noqa: A004

DENSE = "FP32"
# How many graphs that were never seen are prepared; the fastest counts.
UNSEEN = 5


@dataclass(frozen=True)
class Row:
    """A method of ours or a peer: how many times as fast as PyG's eager FP32 and as our own best FP32.

    Neither side computes equal rows once; `over_fp32_deduplicated` is where both do, which alone makes FP32
    `deduplication` times as fast. `preparing` a graph for that takes as long as so many such inferences. `difference`
    is from the own forward pass of the same model, of a peer from that of the dense one. What was not measured is None;
    of a whole row a `reason` says why.
    """

    name: str
    peer: bool
    seconds: float | None = None
    over_eager: float | None = None
    over_fp32: float | None = None
    interval: tuple[float, float] | None = None
    over_fp32_deduplicated: float | None = None
    difference: float | None = None
    flop: float | None = None
    reason: str = ""
    deduplication: float | None = None
    preparing: float | None = None


@dataclass(frozen=True)
class Options:
    """How long a comparison takes, that with PyG eager among them, and whether peers are built that take minutes."""

    protocol: BlockProtocol
    with_eager: BlockProtocol
    expensive: bool = False


def measured(subject: Subject, models: Mapping[str, nn.Module | str], options: Options) -> Iterator[Row]:
    """A row for the dense model, for each compressed one and for each peer, in this order.

    `models` are compressed ones by the name of their method, or why there is none.
    """
    race = _Race.of(subject, options)
    yield race.dense()
    for method, model in models.items():
        yield Row(method, peer=False, reason=model) if isinstance(model, str) else race.compressed(method, model)
    for name, peer in PEERS.items():
        yield race.peer(name, peer)


@dataclass(frozen=True, eq=False)
class _Race:
    """Our best FP32 of a subject, which all others are compared with, and what it gives."""

    subject: Subject
    options: Options
    ours: Inference
    deduplicated: Inference
    expected: Tensor
    eager: Comparison

    @classmethod
    def of(cls, subject: Subject, options: Options) -> "_Race":
        """Compile the dense model and time it against PyG."""
        ours, deduplicated = (subject.compiled(subject.model, deduplicate=once) for once in (False, True))
        eager = compare_latency([(subject.eager_inference(), ours)], options.with_eager)
        return cls(subject, options, ours, deduplicated, subject.forward(subject.model)(), eager)

    def dense(self) -> Row:
        """Our best FP32, whose speed-up has no compression in it."""
        return Row(
            DENSE,
            peer=False,
            seconds=self.eager.second_s,
            over_eager=self.eager.ratio,
            over_fp32=1.0,
            interval=self.eager.interval,
            over_fp32_deduplicated=1.0,
            difference=difference(self.ours(), self.expected),
            flop=work_of(self.subject.forward(self.subject.model)).flop,
            deduplication=compare_latency([(self.ours, self.deduplicated)], self.options.protocol).ratio,
            preparing=preparing(self.subject),
        )

    def compressed(self, method: str, model: nn.Module) -> Row:
        """A compressed model on our runtime, and where both sides compute equal rows once."""
        compiled, forward = self.subject.compiled(model, deduplicate=False), self.subject.forward(model)
        row = self._row(method, compiled, difference(compiled(), forward()), peer=False)
        deduplicated = self.subject.compiled(model, deduplicate=True)
        both = compare_latency([(self.deduplicated, deduplicated)], self.options.protocol).ratio
        return replace(row, flop=work_of(forward).flop, over_fp32_deduplicated=both)

    def peer(self, name: str, peer: Peer) -> Row:
        """A peer, or why there is none."""
        if peer.expensive and not self.options.expensive:
            return Row(name, peer=True, reason="not asked for: it takes half a minute to build; --profile paper does")
        inference, reason = prepared(peer, self.subject)
        if inference is None:
            return Row(name, peer=True, reason=reason)
        return self._row(name, inference, difference(inference(), self.expected), peer=True)

    def _row(self, name: str, other: Inference, apart: float, *, peer: bool) -> Row:
        compared = compare_latency([(self.ours, other)], self.options.protocol)
        return Row(
            name,
            peer,
            seconds=compared.second_s,
            over_eager=self.eager.ratio * compared.ratio,
            over_fp32=compared.ratio,
            interval=compared.interval,
            difference=apart,
        )


@torch.inference_mode()
def preparing(subject: Subject) -> float:
    """How much longer the first call with a graph takes than later ones, in these; equal rows are computed once."""
    compiled = compile(subject.model, subject.example(subject.model), deduplicate=True)
    calls: list[list[float]] = []
    for _ in range(UNSEEN):
        # What is made in inference mode has no version, by which a graph is found again.
        with torch.inference_mode(mode=False):
            unseen = copy.deepcopy(subject.example(subject.model))
        calls.append([_seconds(lambda unseen=unseen: compiled(*unseen)) for _ in range(3)])
    first, *later = map(min, zip(*calls, strict=True))
    return first / min(later) - 1


def _seconds(call: Callable[[], object]) -> float:
    start_s = time.perf_counter()
    call()
    return time.perf_counter() - start_s

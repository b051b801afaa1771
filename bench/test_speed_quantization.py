"""How fast GIN learns on PROTEINS with fake quantization: against the plain implementations, and against FP32."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import cast

import pytest
import torch
from torch import Tensor

from bench.yardsticks.plain_a2q_gin import PlainA2qGin
from bench.yardsticks.plain_quantized_gin import PlainQuantizedGin
from bench.yardsticks.plain_quantizer import PlainQuantizer
from fixtures.latency import BlockProtocol, compare_latency
from fixtures.session import BenchSession
from fixtures.speed import Speed, SpeedReport
from gnn.compression import DegreeQuant, Qat
from gnn.compression.a2q import GROUPS, A2q, a2q_quantization, memory_penalty, parameter_groups
from gnn.compression.degree_quant import DrawBeforePass
from gnn.determinism import deterministic
from gnn.models import MODELS, GraphModel, build_model_for
from gnn.models.gin import GinSettings
from gnn.native.integers import native_integer_kernel, product_of_bytes, unusable_because
from gnn.quantization.degree_protection import DegreeProtection
from gnn.quantization.description import Quantization
from gnn.quantization.integer_kernels import integer_product_kernel, whole_product
from gnn.quantization.quantized_model import nonnegative_inputs
from gnn.tasks import GraphClassification
from gnn.training import ParameterGroups, one_group

pytestmark = pytest.mark.profiles("paper")
BATCH_SIZE = 128
# Of models with 128 channels on the 205 molecules of a test part.
PRODUCT_SHAPE = (4735, 128, 128)
# Two runs of one kernel differ by less.
CHOICE_TOLERANCE = 0.9
PROTOCOL = BlockProtocol(minimum_blocks=7, maximum_blocks=21, budget_s=2.0)
Settings = Qat | DegreeQuant | A2q


@dataclass(frozen=True, eq=False)
class Contestant:
    """A model that is trained, Adam's groups for it, and what is added to every loss."""

    model: GraphModel
    groups: ParameterGroups = one_group
    penalty: Callable[[], Tensor] | None = None


@dataclass(frozen=True)
class Race:
    """How a model is quantized, and how many epochs are compared.

    `target_cpu_s` is for one epoch of 890 graphs on the reference machine.
    """

    settings: Settings
    target_cpu_s: float
    epochs: int

    @property
    def name(self) -> str:
        """Method and settings as in a case id."""
        return ".".join([self.settings.method, *self.settings.id_parts()])


# The nearer a ratio is to its bound, the more epochs; those of the plain percentiles are dear.
RACES = (
    Race(Qat(8, "straight-through", "absolute"), target_cpu_s=0.2, epochs=10),
    Race(Qat(8, "gradient-clipping", "absolute"), target_cpu_s=0.2, epochs=5),
    Race(Qat(8, "straight-through", "percentile"), target_cpu_s=0.2, epochs=3),
    Race(Qat(8, "gradient-clipping", "percentile"), target_cpu_s=0.2, epochs=3),
    Race(DegreeQuant(8, "gradient-clipping", "percentile"), target_cpu_s=0.25, epochs=3),
    Race(A2q(), target_cpu_s=0.3, epochs=4),
)
FP32_RACES = (
    Race(Qat(8, "straight-through", "absolute"), target_cpu_s=0.2, epochs=10),
    Race(Qat(8, "gradient-clipping", "percentile"), target_cpu_s=0.2, epochs=10),
    Race(DegreeQuant(8, "gradient-clipping", "percentile"), target_cpu_s=0.25, epochs=10),
)


def quantized(settings: Settings, task: GraphClassification) -> Contestant:
    """Our GIN as the method trains it."""
    plain = build_model_for("gin", task)
    if isinstance(settings, A2q):
        return aggregation_aware(settings, plain, task)
    quantization = Quantization("range", settings.bit_width, MODELS["gin"].fp32_layers)
    if isinstance(settings, Qat):
        return Contestant(quantization.apply(plain, settings.quantizer))
    protection = DegreeProtection(*settings.protection)
    model = quantization.apply(plain, settings.quantizer, protection)
    model.register_forward_pre_hook(DrawBeforePass(protection), with_kwargs=True)
    return Contestant(model)


def aggregation_aware(settings: A2q, plain: GraphModel, task: GraphClassification) -> Contestant:
    """Our GIN with groups of nodes."""
    model = a2q_quantization("gin", settings, nonnegative_inputs(plain, task)).apply(plain)
    return Contestant(model, parameter_groups, memory_penalty(model, settings))


def yardstick(settings: Settings, task: GraphClassification) -> Contestant:
    """The same as the official code reads."""
    sizes = GinSettings.for_task(task)
    if isinstance(settings, A2q):
        return Contestant(PlainA2qGin(sizes, settings.bit_width, GROUPS))
    tracking = settings.quantizer.tracking
    straight_through = settings.gradient == "straight-through"
    quantizer = partial(PlainQuantizer, settings.bit_width, straight_through, tracking.momentum, tracking.percentile)
    protected = isinstance(settings, DegreeQuant)
    return Contestant(PlainQuantizedGin(sizes, quantizer, degree_quant=protected))


def full_precision(_settings: Settings, task: GraphClassification) -> Contestant:
    """Our GIN without any quantizer."""
    return Contestant(build_model_for("gin", task))


Enter = Callable[[Settings, GraphClassification], Contestant]


def race_cpu_s(race: Race, peer: Enter, task: GraphClassification) -> tuple[float, float]:
    """CPU seconds of the fastest epoch of the peer and of ours on one thread, batching included.

    They take turns, so that a busy machine slows down both, and the first epoch of each does not count.
    """
    with deterministic(seed=0):
        epochs = [epoch_of(enter(race.settings, task), task) for enter in (peer, quantized)]
        _, *seconds = [[epoch() for epoch in epochs] for _ in range(1 + race.epochs)]
    peer_s, ours_s = map(min, zip(*seconds, strict=True))
    return peer_s, ours_s


def epoch_of(contestant: Contestant, task: GraphClassification) -> Callable[[], float]:
    """A function that trains for one epoch, with a step as `gnn.training.fit` makes it, and says how long it took."""
    model = contestant.model.train()
    optimizer = torch.optim.Adam(contestant.groups(model), lr=1e-3, weight_decay=2e-4, fused=True)

    def epoch() -> float:
        start = time.process_time()
        for loss in model.losses(task, None, BATCH_SIZE):
            if contestant.penalty is not None:
                loss = loss + contestant.penalty()  # noqa: PLW2901
            loss.item()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        return time.process_time() - start

    return epoch


def run_race(race: Race, peer: Enter, peer_name: str, bench_session: BenchSession) -> Speed:
    """The outcome of a race with the machine to itself."""
    task = cast(GraphClassification, bench_session.run_context.task("proteins"))
    with bench_session.machine_lock.exclusive(f"measuring the training of {task.name}.gin.{race.name}"):
        peer_s, ours_s = race_cpu_s(race, peer, task)
    return Speed(
        name=f"{task.name}.gin.{race.name} training, an epoch of {len(task.split.train)} graphs",
        cpu_s=ours_s,
        target_cpu_s=race.target_cpu_s,
        ratio=peer_s / ours_s,
        peer=peer_name,
    )


@pytest.mark.parametrize("race", RACES, ids=lambda race: race.name)
def test_training(race: Race, bench_session: BenchSession, report_speed: SpeedReport) -> None:
    """An epoch is as many times faster than one of the plain implementation as was accepted for this machine class."""
    report_speed(run_race(race, yardstick, "the plain implementation", bench_session))


@pytest.mark.parametrize("race", FP32_RACES, ids=lambda race: race.name)
def test_cost(race: Race, bench_session: BenchSession, report_speed: SpeedReport) -> None:
    """An epoch costs as many epochs of our own in FP32 as was accepted for this machine class."""
    report_speed(run_race(race, full_precision, "an epoch in FP32", bench_session))


@pytest.mark.profiles("quick", "ci", "paper")
def test_integer_product_kernel(bench_session: BenchSession) -> None:
    """The kernel that was chosen for products of whole numbers on this processor is the faster one."""
    rows, channels, outputs = PRODUCT_SHAPE
    left, right = torch.ones(rows, channels, dtype=torch.int8), torch.ones(outputs, channels, dtype=torch.int8)
    floats, codes = (left.float(), right.float().t()), left.view(torch.uint8)
    native = None if unusable_because() else product_of_bytes(right.t())
    kernels = {
        # PyTorch's own, whether or not it is taken for exact.
        "int8": lambda: torch._int_mm(left, right.t()),  # pyright: ignore[reportPrivateImportUsage]
        "float32": lambda: whole_product(*floats, 128.0**2),
    }
    if native is not None:
        kernels[native_integer_kernel()] = lambda: native(codes)
    chosen = kernels.pop(integer_product_kernel())
    with bench_session.machine_lock.exclusive("measuring products of whole numbers"):
        ratios = {name: compare_latency([(other, chosen)], PROTOCOL).ratio for name, other in kernels.items()}
    for name, ratio in ratios.items():
        assert ratio >= CHOICE_TOLERANCE, f"{integer_product_kernel()} was chosen, {name} is {1 / ratio:.2f}x as fast"

"""How fast training on Cora is, against the yardsticks in the same process."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.yardsticks.ness import EagerNess
from bench.yardsticks.spline import EagerSplineNet
from fixtures.session import BenchSession
from fixtures.speed import Speed, SpeedReport
from gnn.determinism import deterministic
from gnn.models import MODELS, GraphModel
from gnn.training import fit

pytestmark = pytest.mark.profiles("ci", "paper")
EPOCHS = 200
# A ratio needs equal work on both sides, and eager epochs are dear.
COMPARED_EPOCHS = 20


@dataclass(frozen=True)
class Race:
    """A model and its plain form on a task; `target_cpu_s` is for 200 epochs on the reference machine."""

    task: str
    model: str
    eager: type[GraphModel]
    target_cpu_s: float


RACES = (
    Race("cora-node", "spline", EagerSplineNet, target_cpu_s=1.5),
    Race("cora-link", "ness", EagerNess, target_cpu_s=2.5),
)


@pytest.mark.parametrize("race", RACES, ids=lambda race: f"{race.task}.{race.model}")
def test_training(
    race: Race, bench_session: BenchSession, benchmark: BenchmarkFixture, report_speed: SpeedReport
) -> None:
    """Epochs with validation are as many times faster than eager as was accepted for this class of machines."""
    task, registered = bench_session.run_context.task(race.task), MODELS[race.model]

    def epochs_cpu_s(architecture: Any, epochs: int) -> float:  # noqa: ANN401
        with deterministic(seed=0):
            model = architecture(registered.settings_class.for_task(task))
        settings = replace(registered.recipe.training, epochs=epochs, patience=epochs, most_epochs=None)
        return fit(model, task, settings, seed=0).cpu_s

    with bench_session.machine_lock.exclusive(f"measuring the training of {race.task}.{race.model}"):
        for architecture in (race.eager, registered.build):
            epochs_cpu_s(architecture, 2)
        eager_s = epochs_cpu_s(race.eager, COMPARED_EPOCHS)
        ratio = eager_s / epochs_cpu_s(registered.build, COMPARED_EPOCHS)
        ours_s = benchmark.pedantic(epochs_cpu_s, args=(registered.build, EPOCHS))
    report_speed(
        Speed(
            name=f"{task.name}.{race.model} training, {EPOCHS} epochs",
            cpu_s=ours_s,
            target_cpu_s=race.target_cpu_s,
            ratio=ratio,
            peer="dense features and gather-scatter",
        )
    )

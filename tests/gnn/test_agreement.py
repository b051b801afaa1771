"""Agreement of two models counts classes, bits and differences on the test part."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from gnn.models import GraphModel
from gnn.quantization.agreement import Agreement, agreement
from gnn.quantization.description import Quantization
from tests.gnn.random_graphs import random_task
from tests.gnn.toy_quantization import integer_model

TASK: Any = SimpleNamespace(kind="toy")


class Saying(GraphModel):
    """Says the same numbers of every task; random ones in training or when it asks for a draw."""

    def __init__(self, logits: Tensor, *, draws: bool = False) -> None:
        super().__init__()
        self.logits, self.draws = logits, draws
        self.parts: list[str] = []

    def prepare(self, task: Any) -> Any:  # noqa: ANN401
        return task

    def outputs(self, task: Any, inputs: Any, part: str) -> Tensor:  # noqa: ANN401
        assert inputs is task
        assert not self.training
        self.parts.append(part)
        return self.logits + torch.rand(self.logits.shape) if self.draws else self.logits


ROWS = torch.tensor([[1.0, -4.0], [0.5, 0.75], [2.0, 3.0], [0.0, -1.0]])


def test_equal_models_agree() -> None:
    one, other = Saying(ROWS).train(), Saying(ROWS).train()
    assert agreement(one, other, TASK) == Agreement(1.0, 1.0, 0.0, 4.0)  # pyright: ignore[reportArgumentType]
    assert (one.parts, other.parts) == (["test"], ["test"])


def test_classes_bits_and_the_largest_difference_are_counted() -> None:
    other = ROWS + torch.tensor([[0.25, 0.0], [0.5, 0.0], [0.0, 0.0], [0.0, 0.0]])
    # One class of four and two logits of eight changed; the largest logit is that of the simulation.
    assert agreement(Saying(other), Saying(ROWS), TASK) == Agreement(0.75, 0.75, 0.5, 4.0)
    assert agreement(Saying(2 * ROWS), Saying(ROWS), TASK) == Agreement(1.0, 1 / 8, 4.0, 4.0)


def test_the_class_of_a_pair_is_whether_its_logit_is_positive() -> None:
    theirs, ours = torch.tensor([1.0, -2.0, 0.5, 0.0]), torch.tensor([3.0, -1.0, -0.5, 0.0])
    assert agreement(Saying(ours), Saying(theirs), TASK) == Agreement(0.75, 0.25, 2.0, 2.0)


def test_both_draw_the_same_numbers() -> None:
    found = agreement(Saying(ROWS, draws=True), Saying(ROWS, draws=True), TASK)
    assert (found.classes, found.identical) == (1.0, 1.0)


def test_another_model_does_not_agree() -> None:
    task = random_task()
    integer = integer_model("gin", Quantization("range", 8), task)
    assert agreement(integer, integer, task).identical == 1
    other = integer_model("gin", Quantization("range", 4), task)
    found = agreement(integer, other, task)
    assert found.identical < 0.5
    assert found.largest_difference == pytest.approx(agreement(other, integer, task).largest_difference)
    assert found.largest_difference > 0

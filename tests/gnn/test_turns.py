"""Long work offers the machine between its steps, and only inside the block that asked for it."""

import pytest

from gnn.turns import offer_turn, taking_turns


def test_a_turn_is_offered_inside_the_block_only() -> None:
    offers: list[str] = []
    offer_turn()
    with taking_turns(lambda: offers.append("inside")):
        offer_turn()
        offer_turn()
    offer_turn()
    assert offers == ["inside", "inside"]


def test_the_inner_of_two_blocks_is_asked_and_the_outer_one_afterwards() -> None:
    offers: list[str] = []
    with taking_turns(lambda: offers.append("outer")):
        with taking_turns(lambda: offers.append("inner")):
            offer_turn()
        offer_turn()
    assert offers == ["inner", "outer"]


def test_an_error_ends_the_block() -> None:
    with pytest.raises(KeyError), taking_turns(lambda: pytest.fail("nobody asked")):
        raise KeyError("from the block")
    offer_turn()

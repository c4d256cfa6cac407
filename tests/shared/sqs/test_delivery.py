"""A message is in one state at a time, and nothing but its moves changes that."""

from collections.abc import Callable

import pytest

from bbws.shared.sqs.delivery import Delivery, IllegalMove, State

ENDS = (State.DELETED, State.RETURNED, State.REQUEUED, State.BURIED, State.LEFT)


def begun() -> Delivery:
    delivery = Delivery({}, received_at=10)
    delivery.begin()
    return delivery


def ending() -> Delivery:
    delivery = begun()
    assert delivery.end()
    return delivery


def kept() -> Delivery:
    delivery = ending()
    delivery.keep(60, failed=True)
    return delivery


@pytest.mark.parametrize("how", ENDS)
def test_it_ends_once(how: State) -> None:
    """Who comes second finds it decided, while it is ending and afterwards."""
    delivery = ending()
    assert not delivery.end()
    delivery.ended(how)
    assert not delivery.end()
    assert delivery.is_gone is (how in {State.DELETED, State.BURIED})
    with pytest.raises(IllegalMove):
        delivery.ended(how)


def test_it_is_kept_and_begins_again() -> None:
    """Attempts behind the first are counted, and those that failed."""
    delivery = kept()
    delivery.wait()
    delivery.begin()
    assert (delivery.repeats, delivery.failures, delivery.kept_until) == (1, 1, 60)


@pytest.mark.parametrize(
    "move",
    [
        lambda: begun().begin(),
        lambda: begun().wait(),
        lambda: begun().keep(1, failed=True),
        lambda: begun().ended(State.DELETED),
        lambda: ending().begin(),
        lambda: ending().delete_soon(),
        lambda: ending().ended(State.HANDLING),
        lambda: kept().begin(),
        lambda: Delivery({}, received_at=0).delete_soon(),
        lambda: Delivery({}, received_at=0).ended(State.RETURNED),
    ],
)
def test_other_moves_are_mistakes(move: Callable[[], None]) -> None:
    """Of this package: they must not pass in silence."""
    with pytest.raises(IllegalMove):
        move()


def test_a_lost_lease_is_nobodys_promise() -> None:
    """Until then it is ours, and not a moment longer."""
    delivery = begun()
    delivery.leased_until = 40
    assert delivery.is_ours(39.9)
    assert not delivery.is_ours(40)
    delivery.lose()
    assert not delivery.is_ours(0)

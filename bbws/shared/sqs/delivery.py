"""The life of one received message: in one state at a time, which named moves change."""

import math
from collections.abc import Mapping
from enum import Enum
from typing import Any


class State(Enum):
    """From the receive to its end here; the last five are ends."""

    WAITING = "no handler has begun"
    HANDLING = "a handler has it"
    KEPT = "its handler did not succeed, and it waits here for another attempt"
    ENDING = "somebody has decided how it ends, and waits until SQS confirms that"
    DELETING = "its delete is under way, and nobody waits for it"
    DELETED = "SQS confirmed that it is gone"
    RETURNED = "visible to others, at once or after a delay"
    REQUEUED = "a copy is in the queue in its place"
    BURIED = "in the dead letters, with its reason"
    LEFT = "it comes again when its visibility timeout ends"


_WAITING, _HANDLING, _KEPT = State.WAITING, State.HANDLING, State.KEPT
_ENDING, _DELETING, _DELETED, _LEFT = State.ENDING, State.DELETING, State.DELETED, State.LEFT
# Tuples, because an enum's hash is a function in Python, and these are looked at several times for each message.
_GONE = (State.DELETED, State.BURIED)
_OPEN = (_HANDLING, _WAITING, _KEPT)
_DECIDED = (_DELETING, _ENDING)
_ENDS = (_DELETED, State.RETURNED, State.REQUEUED, State.BURIED, _LEFT)


class IllegalMove(RuntimeError):
    """A mistake of this package: what was asked cannot happen to a message in this state."""


class Delivery(dict[str, Any]):
    """The dictionary of ReceiveMessage with its state and its lease; times are the event loop's.

    WAITING -> HANDLING -> ENDING -> DELETED, RETURNED, REQUEUED, BURIED, LEFT
                        -> DELETING -> DELETED, LEFT
                           ENDING -> KEPT -> WAITING      of a FIFO queue, for another attempt
    WAITING -> ENDING -> RETURNED, REQUEUED, BURIED, LEFT given back untouched

    Who was the first to `end` it settles it; whoever comes second finds it ending and does nothing. `leased_until`:
    until then nobody else gets it; `extend_at`: when the heartbeat extends that. `failures`: attempts that failed
    since this receive; `repeats`: attempts since this receive behind the first; `kept_until`: when the next may begin.
    """

    __slots__ = ("extend_at", "failures", "kept_until", "leased_until", "received_at", "repeats", "state")

    def __init__(self, raw: Mapping[str, Any], received_at: float) -> None:
        super().__init__(raw)
        self.state = _WAITING
        self.received_at = received_at
        self.leased_until = math.inf
        self.extend_at = math.inf
        self.kept_until = 0.0
        self.failures = 0
        self.repeats = 0

    # Two deliveries of one message are two: compared and hashed by identity, not by content.
    __hash__ = object.__hash__  # type: ignore[assignment]
    __eq__ = object.__eq__
    __ne__ = object.__ne__

    @property
    def is_open(self) -> bool:
        """Whether nobody has decided yet how it ends."""
        return self.state in _OPEN

    @property
    def is_gone(self) -> bool:
        """Whether it never comes again from its queue."""
        return self.state in _GONE

    @property
    def is_waiting(self) -> bool:
        return self.state is _WAITING

    @property
    def is_ending(self) -> bool:
        return self.state is _ENDING

    @property
    def is_kept(self) -> bool:
        return self.state is _KEPT

    @property
    def is_being_deleted(self) -> bool:
        """Whether nobody waits for its end any more."""
        return self.state is _DELETING

    @property
    def goes_well(self) -> bool:
        """Whether its handler has it or ended it well."""
        return self.state is _HANDLING or self.state in _GONE

    def is_ours(self, now: float) -> bool:
        """Whether nobody else can have it yet."""
        return now < self.leased_until

    def begin(self) -> None:
        """A handler starts."""
        self._move(_WAITING, State.HANDLING)

    def end(self) -> bool:
        """Decide how it ends; False where somebody else already has."""
        if self.state not in _OPEN:
            return False
        self.state = _ENDING
        return True

    def delete_soon(self) -> None:
        """It is deleted, and nobody waits until that is confirmed."""
        self._move(_HANDLING, State.DELETING)

    def ended(self, how: State) -> None:
        """SQS confirmed it, or never will (LEFT)."""
        if self.state not in _DECIDED or how not in _ENDS:
            raise IllegalMove(f"from {self.state.name} to {how.name}")
        self.state = how

    def keep(self, until: float, *, failed: bool) -> None:
        """Stay here for another attempt."""
        self._move(_ENDING, State.KEPT)
        self.kept_until = until
        self.failures += failed
        self.repeats += 1

    def wait(self) -> None:
        """In its place in the group again."""
        self._move(_KEPT, State.WAITING)

    def lose(self) -> None:
        """SQS says that it is not ours any more."""
        self.leased_until = -math.inf

    def _move(self, before: State, after: State) -> None:
        if self.state is not before:
            raise IllegalMove(f"from {self.state.name} to {after.name}")
        self.state = after

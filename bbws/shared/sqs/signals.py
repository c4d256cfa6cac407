"""What a handler means when exceptions of control flow leave it in a group, as a TaskGroup raises them.

The one that is most careful with the message acts as if it had been raised alone. By care: PauseSubscriber,
StopConsume (and the end of the program), ReturnMessage, NackMessage, an ordinary error, SkipMessage, RejectMessage,
AckMessage.
"""

from collections.abc import Iterator

from faststream.exceptions import AckMessage, IgnoredException, NackMessage, RejectMessage, SkipMessage, StopConsume

from .errors import PauseSubscriber, ReturnMessage

_SIGNALS = (IgnoredException, SystemExit)
# The first that fits counts: a class stands in front of those it derives from.
_CARE: tuple[tuple[type[BaseException], int], ...] = (
    (PauseSubscriber, 0),
    (StopConsume, 1),
    (SystemExit, 1),
    (ReturnMessage, 2),
    (NackMessage, 3),
    (SkipMessage, 5),
    (RejectMessage, 6),
    (AckMessage, 7),
    (BaseException, 4),
)


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors in a group and in its groups; any other error itself."""
    # Not by recursion: groups may be nested deeper than Python calls functions.
    rest = [error]
    while rest:
        if isinstance(first := rest.pop(), BaseExceptionGroup):
            rest += reversed(first.exceptions)
        else:
            yield first


def signal_in(error: BaseException) -> BaseException:
    """The exception of control flow that a group stands for, caused by the ordinary errors beside it; else `error`."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    signal = min(leaves(error), key=_rank)
    if not isinstance(signal, _SIGNALS):
        return error
    signal.__cause__ = signal.__cause__ or ordinary(error)
    return signal


def ordinary(error: BaseException) -> BaseException | None:
    """What a group holds beside control flow."""
    if not isinstance(error, BaseExceptionGroup):
        return None
    found = [inner for inner in leaves(error) if not isinstance(inner, _SIGNALS)]
    return BaseExceptionGroup(error.message, found) if found else None


def _rank(error: BaseException) -> int:
    return next(rank for kind, rank in _CARE if isinstance(error, kind))

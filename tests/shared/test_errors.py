"""The error tree: two families, each error with its status."""

from bbws.shared.errors import BbwsError, FieldError, Invalid, NotYet, Rejected, Unavailable


def _descendants(kind: type[BbwsError]) -> set[type[BbwsError]]:
    return {kind}.union(*(_descendants(child) for child in kind.__subclasses__()))


def test_the_status_of_an_error_shows_its_family() -> None:
    """Who gets 4xx must change something, and its message is never retried; 503 may be tried again; 500 is ours."""
    for kind in _descendants(BbwsError):
        assert (400 <= kind.status < 500) is issubclass(kind, Rejected)
        assert (kind.status == 503) is issubclass(kind, (Unavailable, NotYet))
        assert issubclass(kind, (Rejected, Unavailable, NotYet)) or kind.status == 500


def test_the_drawn_tree_names_every_error_of_the_module() -> None:
    """Readers look the errors up there first."""
    drawn = BbwsError.__init__.__globals__["__doc__"]
    here = {kind for kind in _descendants(BbwsError) if kind.__module__ == BbwsError.__module__}
    assert {kind.__name__ for kind in here if kind.__name__ not in drawn} == set()


def test_an_error_carries_what_its_answer_says() -> None:
    """The gateway shows these fields, the consumers log them."""
    invalid = Invalid("two things are wrong", [FieldError("#/items/0/quantity", "is negative")])
    assert (invalid.detail, invalid.errors[0].pointer) == ("two things are wrong", "#/items/0/quantity")
    out = Unavailable("dynamodb", "ThrottlingException")
    assert (out.dependency, str(out)) == ("dynamodb", "dynamodb is out of reach: ThrottlingException")

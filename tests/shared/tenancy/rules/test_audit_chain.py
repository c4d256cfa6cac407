"""What the hash chain shows: whatever is done to a sealed trail, a verification finds and names it."""

import random
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from bbws.shared.contracts.audit import GENESIS, PURGED, AuditDetails, AuditEntry, Seal
from bbws.shared.core.audit import digest_of
from bbws.shared.core.audit_entries import StoredEntry
from bbws.shared.ids import new_id
from bbws.shared.tenancy.rules.audit_chain import Anchor, HeadSigner, Verification, extend, hash_of
from tests.support.audit import KEY, SIGNER, TRAIL, a_chain, an_entry, kinds, verified
from tests.support.builders import PAID_AT

LENGTH = 12
places = st.integers(0, LENGTH - 1)
# Made once: a chain is a value, and every example works on a copy.
CHAIN, HEAD = a_chain(LENGTH)

_OTHER = {
    "id": new_id(),
    "at": PAID_AT + timedelta(days=1),
    "action": "ORDER_CANCELLED",
    "subject": "orders/2",
    "actor": "somebody",
    "correlation_id": "another",
    "digest": "0" * 64,
}


def _seal(entry: AuditEntry) -> Seal:
    assert entry.seal is not None
    return entry.seal


@given(order=st.permutations(CHAIN))
def test_an_untouched_trail_holds_in_whatever_order_it_is_read(order: list[AuditEntry]) -> None:
    """Entries of several processes are sealed in another order than that of their time; that is no forgery."""
    report = verified(order, HEAD)
    assert (report.entries, report.sealed_up_to, report.waiting, report.findings) == (LENGTH, LENGTH, 0, [])


@given(place=places)
def test_a_removed_entry_is_named(place: int) -> None:
    """The deletion of one line is what an audit trail is there to show."""
    (found,) = kinds(verified(CHAIN[:place] + CHAIN[place + 1 :], HEAD))
    assert found == ("CUT" if place == LENGTH - 1 else "REMOVED", place + 1)


@given(place=places, field=st.sampled_from(sorted(_OTHER)))
def test_an_altered_head_is_named(place: int, field: str) -> None:
    """Whoever it was, whatever it was, whenever it was: no field of an entry can be another one."""
    altered = CHAIN[place].model_copy(update={field: _OTHER[field]})
    report = verified([*CHAIN[:place], altered, *CHAIN[place + 1 :]], HEAD)
    assert ("ALTERED", place + 1) in kinds(report)


@given(place=places, field=st.sampled_from(["salt", "source", "reason", "before", "after"]))
def test_altered_details_are_named(place: int, field: str) -> None:
    """The chain covers details through their digest."""
    details = CHAIN[place].details
    assert details is not None
    value = {"x": 1} if field in ("before", "after") else "another"
    altered = CHAIN[place].model_copy(update={"details": details.model_copy(update={field: value})})
    report = verified([*CHAIN[:place], altered, *CHAIN[place + 1 :]], HEAD)
    assert kinds(report) == [("DETAILS_ALTERED", place + 1)]


@given(pair=st.lists(places, min_size=2, max_size=2, unique=True))
def test_two_entries_that_changed_places_are_named(pair: list[int]) -> None:
    """What came first is part of what happened."""
    one, other = pair
    swapped = list(CHAIN)
    swapped[one] = CHAIN[one].model_copy(update={"seal": CHAIN[other].seal})
    swapped[other] = CHAIN[other].model_copy(update={"seal": CHAIN[one].seal})
    assert {("ALTERED", one + 1), ("ALTERED", other + 1)} <= set(kinds(verified(swapped, HEAD)))


@given(place=places, copies_seal=st.booleans())
def test_an_inserted_entry_is_named(place: int, copies_seal: bool) -> None:
    """A seal that was copied or made up has the place of another entry."""
    forged = an_entry()
    previous = _seal(CHAIN[place]).previous
    own = Seal(sequence=place + 1, previous=previous, hash=hash_of(previous, place + 1, forged))
    inserted = forged.model_copy(update={"seal": CHAIN[place].seal if copies_seal else own})
    found = kinds(verified([*CHAIN, inserted], HEAD))
    assert ("TWICE", place + 1) in found
    assert (("ALTERED", place + 1) in found) is copies_seal


@given(place=places)
def test_an_entry_that_was_rewritten_with_its_seal_is_named(place: int) -> None:
    """Whoever recomputes a hash must recompute all that follow."""
    altered = CHAIN[place].model_copy(update={"actor": "somebody else"})
    previous = _seal(altered).previous
    seal = Seal(sequence=place + 1, previous=previous, hash=hash_of(previous, place + 1, altered))
    rewritten = altered.model_copy(update={"seal": seal})
    found = kinds(verified([*CHAIN[:place], rewritten, *CHAIN[place + 1 :]], HEAD))
    # The last one meets the head, every other one the entry behind it.
    assert found == [("REWRITTEN", min(place + 2, LENGTH))]


@given(place=places, removes=st.booleans())
def test_a_chain_that_was_rewritten_to_its_end_does_not_meet_its_head(place: int, removes: bool) -> None:
    """Without the key nobody signs another end, however carefully the chain behind it was made anew."""
    kept = [] if removes else [CHAIN[place].model_copy(update={"actor": "somebody else"})]
    unsealed = [entry.model_copy(update={"seal": None}) for entry in [*CHAIN[:place], *kept, *CHAIN[place + 1 :]]]
    rebuilt = [entry.model_copy(update={"seal": seal}) for entry, seal in extend(None, unsealed)]
    assert verified(rebuilt, HEAD).findings
    forged = HeadSigner(["another key"]).sign(TRAIL, _seal(rebuilt[-1]), PAID_AT)
    assert "HEAD_FORGED" in {kind for kind, _ in kinds(verified(rebuilt, forged))}


@given(place=places)
def test_a_cut_tail_is_named_with_its_length(place: int) -> None:
    """The newest entries are those that somebody wants to be rid of; an older head does not fit its signature."""
    assert kinds(verified(CHAIN[:place], HEAD)) == [("CUT", place + 1)]
    if place:
        shorter = HEAD.model_copy(update={"sequence": place, "hash": _seal(CHAIN[place - 1]).hash})
        assert kinds(verified(CHAIN[:place], shorter)) == [("HEAD_FORGED", place)]


def test_a_whole_end_that_was_put_back_is_found_by_an_anchor_alone() -> None:
    """An old head with its old signature is genuine: only what is known outside of the table shows that more was."""
    older = SIGNER.sign(TRAIL, _seal(CHAIN[5]), PAID_AT)
    assert verified(CHAIN[:6], older).findings == []
    anchor = Anchor(LENGTH, _seal(CHAIN[-1]).hash)
    assert kinds(verified(CHAIN[:6], older, anchor=anchor)) == [("ANCHOR", None)]
    assert verified(CHAIN, HEAD, anchor=anchor).findings == []


def test_a_missing_head_and_one_of_another_trail_are_named() -> None:
    """A head that is gone must not look like a trail that was never sealed."""
    assert kinds(verified(CHAIN, None)) == [("HEAD_MISSING", LENGTH)]
    foreign = SIGNER.sign(new_id(), _seal(CHAIN[-1]), PAID_AT)
    assert kinds(verified(CHAIN, foreign)) == [("HEAD_FORGED", LENGTH)]


def test_seals_beyond_the_head_are_named() -> None:
    """Somebody put the head back and left the entries."""
    older = SIGNER.sign(TRAIL, _seal(CHAIN[5]), PAID_AT)
    assert kinds(verified(CHAIN, older)) == [("HEAD_FORGED", 6)]


def test_what_is_sealed_while_it_is_verified_is_no_finding() -> None:
    """Housekeeping does not stop for an auditor: an entry read before it was sealed, and later ones that were."""
    older = SIGNER.sign(TRAIL, _seal(CHAIN[5]), PAID_AT)
    read = [*CHAIN[:6], CHAIN[6].model_copy(update={"seal": None}), *CHAIN[7:]]
    report = verified(read, older, head_now=HEAD)
    assert (report.findings, report.waiting, report.sealed_up_to) == ([], 1, 6)


def test_an_entry_that_waits_too_long_is_named() -> None:
    """Taken out of the due index it would be in no chain, and could be altered at will."""
    waiting = an_entry(at=PAID_AT)
    assert kinds(verified([*CHAIN, waiting], HEAD, sealed_before=PAID_AT + timedelta(seconds=1))) == [
        ("NOT_SEALED", None)
    ]
    assert verified([*CHAIN, waiting], HEAD, sealed_before=PAID_AT).findings == []


def test_erased_details_need_a_purge() -> None:
    """A purged tenant's details are erased by right, and the chain still holds; anybody else's are evidence."""
    erased = [entry.model_copy(update={"details": None}) for entry in CHAIN]
    (finding,) = verified(erased, HEAD).findings
    assert (finding.kind, f"{LENGTH} entries" in finding.text) == ("DETAILS_ERASED", True)
    assert verified([*erased, an_entry(action=PURGED)], HEAD).findings == []


def test_an_item_under_a_foreign_key_is_named() -> None:
    """Moved to another time, an entry would be listed where nobody looks."""
    verification = Verification(TRAIL, SIGNER, HEAD, PAID_AT)
    for entry in CHAIN[1:]:
        verification.see(StoredEntry(("TENANT#1", "EVENT#1"), entry))
    verification.see(StoredEntry(("TENANT#1", "EVENT#elsewhere"), None))
    report = verification.report(HEAD)
    assert kinds(report) == [("MISPLACED", None), ("REMOVED", 1)]
    assert "EVENT#elsewhere" in report.findings[0].text


def test_a_key_that_was_changed_leaves_older_heads_readable() -> None:
    """Rotation must not turn every idle trail into a forgery; a key that is taken out of the list does."""
    assert verified(CHAIN, HEAD, signer=HeadSigner(["new" * 12, KEY])).findings == []
    assert kinds(verified(CHAIN, HEAD, signer=HeadSigner(["new" * 12]))) == [("HEAD_FORGED", LENGTH)]


def test_gaps_and_not_entries_are_what_memory_holds() -> None:
    """A trail of a hundred thousand entries is verified by a process of a few megabytes."""
    entries, head = a_chain(2000)
    verification = Verification(TRAIL, SIGNER, head, PAID_AT)
    nearly = sorted(range(2000), key=lambda place: place + random.Random(place).uniform(0, 20))
    most = 0
    for place in nearly:
        verification.see(StoredEntry(("", ""), entries[place]))
        most = max(most, len(verification._runs))
    assert most < 30
    assert verification.report(head).findings == []


def test_a_seal_says_the_same_for_ever() -> None:
    """Trails of today are verified in years: form and field order of what is hashed never change."""
    details = AuditDetails(salt="00", source="cli", before={"b": 1, "a": None}, after={"ü": "ö"})
    assert digest_of(details) == "d2b4bef45378ba8407bfc85351f2df769e55004f67f8b5a49a4c627a93a62329"
    entry = an_entry(id=TRAIL, digest="1" * 64, details=details)
    assert hash_of(GENESIS, 1, entry) == "b1eb10dd35e03636ab66284dbb13347394dbcfe87f3163123ac04f76eaf992b9"
    head = SIGNER.sign(TRAIL, Seal(sequence=1, previous=GENESIS, hash="2" * 64), PAID_AT)
    assert head.mac == "088df6da065bdca55984251ff0612ec8d9f4a018e3cf6d883320bd3efa72c9b6"


def test_a_chain_begins_at_its_beginning() -> None:
    """Whoever could sign anew with an entry of the middle would have lost the beginning."""
    started = an_entry()
    seal = Seal(sequence=1, previous="1" * 64, hash=hash_of("1" * 64, 1, started))
    report = verified([started.model_copy(update={"seal": seal})], SIGNER.sign(TRAIL, seal, PAID_AT))
    assert kinds(report) == [("REWRITTEN", 1)]

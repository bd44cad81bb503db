"""The chain over the audit: what was changed, taken away or slipped in is seen."""

import hashlib
from datetime import UTC, datetime, timedelta, timezone

import pytest

from models import seals
from models.seals import START, Seal


def row(number, **more):
    told = dict.fromkeys(seals.FIELDS, "")
    at = "2025-06-01T12:00:00.000001+00:00"
    return told | {"id": number, "at": at, "data": {"b": 1, "a": "ü"}} | more


@pytest.fixture
def rows():
    return {n: row(n) for n in range(1, 8) if n != 4}  # 4 was rolled back


@pytest.fixture
def chain(rows):
    made, previous = [], START
    for number, ids in enumerate([(1, 2), (3, 6), (5,)], 1):  # 5 was committed after 6
        sealed = seals.digest(previous, [rows[each] for each in ids])
        made.append(Seal(number, ids, previous, sealed))
        previous = sealed
    return made


def test_what_is_as_it_was_sealed_has_no_fault_and_what_waits_is_named(rows, chain):
    found = seals.verify(rows, chain, expect=chain[1].hash)

    assert (found.faults, found.sealed, found.unsealed) == ((), 5, (7,))
    assert found.last == chain[-1].hash


def altered(rows, chain):
    rows[2]["actor"] = "mallory"


def removed(rows, chain):
    del rows[3]


def unchained(rows, chain):
    del chain[1]


def swapped(rows, chain):
    chain[0], chain[1] = chain[1], chain[0]


def twice(rows, chain):
    ids = (5, 6)
    chain.append(Seal(9, ids, chain[-1].hash, seals.digest(chain[-1].hash, [rows[5], rows[6]])))


@pytest.mark.parametrize(
    ("deed", "told"),
    [
        (altered, "a row of 1…2 was changed"),
        (removed, "row 3 is gone"),
        (unchained, "seal 3 does not follow"),
        (swapped, "seal 2 does not follow"),
        (twice, "row 5 is sealed twice"),
    ],
)
def test_each_deed_is_told_by_its_seal(rows, chain, deed, told):
    deed(rows, chain)

    assert any(told in fault for fault in seals.verify(rows, chain).faults)


def test_a_chain_that_was_made_anew_or_cut_off_is_told_by_a_hash_from_elsewhere(rows, chain):
    noted = chain[-1].hash
    rows[5]["actor"] = "mallory"
    forged = seals.digest(chain[1].hash, [rows[5]])
    anew = [*chain[:2], Seal(3, (5,), chain[1].hash, forged)]

    assert seals.verify(rows, anew).faults == ()
    assert noted in seals.verify(rows, anew, expect=noted).faults[0]
    assert noted in seals.verify(rows, chain[:2], expect=noted).faults[0]


def test_the_same_moment_in_another_zone_is_the_same_row():
    at = datetime(2025, 6, 1, 12, tzinfo=UTC)
    other = at.astimezone(timezone(timedelta(hours=2)))

    assert seals.line(row(1, at=at)) == seals.line(row(1, at=other.isoformat()))


def test_the_hash_is_what_the_documentation_says():
    one = seals.line(row(1))

    assert seals.digest(START, [row(1)]) == hashlib.sha256(f"{START}\n{one}".encode()).hexdigest()

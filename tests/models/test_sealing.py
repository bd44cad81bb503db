"""Sealing on a real database: every committed row once, in one chain, whoever seals."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from peewee import DatabaseError

from models import audit, lists, seals
from models import database as pool
from models.commands import seals as sealing
from models.database import borrowed, database
from models.paging import Ask
from models.seals import Seal
from models.tables import Audit, AuditSeal
from tests.models import make

pytestmark = pytest.mark.services


def record(n=1):
    for number in range(n):
        audit.record(make.ADA, "site.create", kind="site", id=number, data={"n": number, "ü": 0.1})


def verdict():
    rows = {row.id: sealing._told(row) for row in Audit.select()}
    found = lists.audit_seals(ask=Ask(limit=10_000))
    links = [Seal(v.id, v.ids, v.previous, v.hash) for v in found]
    return seals.verify(rows, links)


def seal_all():
    while sealing.seal_next():
        pass


def test_every_row_is_sealed_once_and_then_there_is_nothing_to_seal(db):
    record(sealing.MOST + 3)

    seal_all()

    assert (verdict().faults, verdict().unsealed) == ((), ())
    assert AuditSeal.select().count() == 2
    assert sealing.seal_next() is None


def test_a_row_that_is_committed_after_later_ones_were_sealed_is_sealed_next(db):
    begun, go_on = Event(), Event()

    def late():
        with borrowed(), database.atomic():
            record()
            assert Audit.select().exists()  # asked, so that the row has its number now
            begun.set()
            go_on.wait(10)

    with ThreadPoolExecutor(1) as threads:
        done = threads.submit(late)
        begun.wait(60)
        record(2)
        seal_all()
        go_on.set()
        done.result(10)
    seal_all()

    assert [each.ids for each in lists.audit_seals()] == [(2, 3), (1,)]
    assert (verdict().faults, verdict().unsealed) == ((), ())


def test_any_number_of_sealers_make_one_chain(db):
    pool.configure(db, connections=6)
    with borrowed():
        record(40)

    def seal(_):
        with borrowed():
            record()
            seal_all()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(seal, range(20)))

    with borrowed():
        seal_all()
        found = verdict()
    assert (found.faults, found.unsealed, found.sealed) == ((), (), 60)


def test_what_an_owner_of_the_database_changes_is_seen(db):
    record(3)
    seal_all()
    database.execute_sql("ALTER TABLE audit DISABLE TRIGGER audit_append_only")
    Audit.update(actor="mallory").where(Audit.id == 2).execute()

    assert "was changed" in verdict().faults[0]


@pytest.mark.parametrize("deed", ["UPDATE audit_seals SET hash = ''", "DELETE FROM audit_seals"])
def test_seals_are_added_and_never_changed(db, deed):
    record()
    seal_all()

    with pytest.raises(DatabaseError, match="never changed"):
        database.execute_sql(deed)

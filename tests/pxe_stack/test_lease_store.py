import sqlite3

import pytest

from pxe_stack import lease_store
from pxe_stack.lease_store import LeaseStore
from pxe_stack.leases import Lease, Share, State


@pytest.fixture
def store(tmp_path):
    made = LeaseStore(tmp_path, Share())
    yield made
    made.close()


def test_leases_are_read_in_the_order_in_which_they_were_made(store):
    store.write([Lease(1, b"a", 10.0), Lease(2, b"b", 20.0)])
    store.write([Lease(1, b"c", 30.0, State.DECLINED)])

    assert list(store.read()) == [Lease(2, b"b", 20.0), Lease(1, b"c", 30.0, State.DECLINED)]


def test_a_process_knows_what_the_others_gave(tmp_path, store):
    second = LeaseStore(tmp_path, Share(1, 2))
    store.write([Lease(2, b"b", 20.0)])
    second.write([Lease(3, b"c", 20.0)])

    assert {lease.address for lease in store.read()} == {2, 3}
    assert {lease.address for lease in second.read()} == {2, 3}
    second.close()


def test_of_two_files_that_know_an_address_the_longer_lease_counts(tmp_path, store):
    second = LeaseStore(tmp_path, Share(1, 2))
    store.write([Lease(2, b"b", 50.0)])
    second.write([Lease(2, b"c", 20.0)])

    assert list(second.read()) == [Lease(2, b"b", 50.0)]
    second.close()


def test_what_is_written_is_synced_before_the_write_returns(tmp_path, store, monkeypatch):
    store.write([Lease(1, b"a", 10.0)])
    with sqlite3.connect(lease_store.path(tmp_path, 0)) as other:
        assert other.execute("SELECT count(*) FROM leases").fetchone() == (1,)
    assert store._db._connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_of_a_batch_that_cannot_be_written_nothing_is(store):
    with pytest.raises(sqlite3.Error):
        store.write([Lease(1, b"a", 10.0), Lease(2, None, 10.0)])

    assert list(store.read()) == []

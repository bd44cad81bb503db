"""Imports that run beside others: all lock in one order, and nobody waits in a circle."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from models import import_form
from models.commands.importing import Import
from models.database import borrowed, database
from models.tables import Machine
from tests.models import make

pytestmark = pytest.mark.services

_LOCK = "SELECT FROM machines WHERE hostname = %s FOR NO KEY UPDATE NOWAIT"
_WAITS = """SELECT count(*) FROM pg_locks
WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"""


@pytest.fixture
def site(db):
    return make.site()


def rows(*numbers, rack):
    told = [
        {
            "hostname": f"node-{n}",
            "architecture": "x86_64",
            "interfaces": [{"name": "eth0", "macAddress": f"52:54:00:00:05:0{n}"}],
            "labels": {"rack": rack},
        }
        for n in numbers
    ]
    return list(enumerate(map(import_form.Row.model_validate, told)))


def imported(site, which):
    work = Import(make.ADMIN, site, dry_run=False)
    with borrowed():
        work.take(1, which)
    return {what: n for what, n in work.tally.counts.items() if n}


def in_order(site):
    """Return the numbers of the site's machines, by their ids."""
    made = Machine.select().where(Machine.site_id == site).order_by(Machine.id)
    return [int(each.hostname.removeprefix("node-")) for each in made]


def until_somebody_waits():
    """Return when another transaction waits for this one."""
    while not database.execute_sql(_WAITS).fetchone()[0]:
        database.execute_sql("SELECT pg_sleep(0.01)")


def test_an_import_locks_the_machines_that_it_changes_by_their_ids_whatever_order_they_come_in(
    site,
):
    imported(site, rows(1, 2, rack="4"))
    first, last = in_order(site)
    with ThreadPoolExecutor(1) as threads:
        with database.atomic():
            database.execute_sql(_LOCK, (f"node-{first}",))
            other = threads.submit(imported, site, rows(last, first, rack="5"))
            until_somebody_waits()

            database.execute_sql(_LOCK, (f"node-{last}",))  # raises where it is locked already
        assert other.result() == {"changed": 2}


def test_imports_of_one_site_at_once_all_end_well(site):
    imported(site, rows(1, 2, 3, 4, rack="0"))
    with ThreadPoolExecutor(4) as threads:
        orders = [(1, 2, 3, 4, 5, 6), (6, 5, 4, 3, 2, 1)] * 2
        came = [
            threads.submit(imported, site, rows(*order, rack=str(n)))
            for n, order in enumerate(orders, 1)
        ]

        counts = [each.result() for each in came]

    assert sum(each.get("created", 0) for each in counts) == 2
    assert all(sum(each.values()) == 6 and "conflicting" not in each for each in counts)

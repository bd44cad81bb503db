"""Machines from another system's inventory: created, changed, told of, and left alone."""

import json
import time

import pytest

from actors.control import errands as runner
from actors.control import integrations as doing
from actors.drivers.deadline import Deadline
from actors.drivers.errors import LeaseLost
from config import secrets
from models import lists, queries
from models.commands import errands, jobs
from models.errands import Errand, Held
from models.tables import Interface, Machine
from tests.actors import partners
from tests.actors.integration_lab import NEAR, SECRET
from tests.models import make

pytestmark = pytest.mark.services


def row(n, **more):
    nic = {"name": "eth0", "macAddress": f"52-54-00-00-03-{n:02X}", "pxeEnabled": True}
    return {
        "hostname": f"node-{n}",
        "architecture": "x86_64",
        "interfaces": [nic],
        "labels": {"rack": "4"},
    } | more


def serves(partner, *rows, path="/machines", **more):
    partner.pages[path] = {"machines": list(rows), **more}
    return path


def counts(run):
    return {what: count for what, count in run.result["counts"].items() if count}


def test_machines_are_created_from_an_inventory(world, partner):
    path = serves(partner, row(1, memoryMib=2048), row(2))

    run = world.run(world.job("http", path))

    assert (run.state, run.records, run.detail) == ("succeeded", 2, "2 created")
    machine = queries.machine(Machine.get(Machine.hostname == "node-1").id)
    assert (machine.memory_mib, machine.labels) == (2048, {"rack": "4"})
    assert partner.asked[0].headers["authorization"] == f"Bearer {SECRET}"


def test_the_same_again_changes_nothing(world, partner):
    job = world.job("http", serves(partner, row(1), row(2)))
    world.run(job)
    before = [m.version for m in Machine.select()]

    run = world.run(job)

    assert counts(run) == {"unchanged": 2}
    assert [m.version for m in Machine.select()] == before


def test_a_machine_is_known_by_its_primary_mac_and_changed_field_by_field(world, partner):
    job = world.job("http", serves(partner, row(1), row(2)))
    world.run(job)
    serves(partner, row(1, labels={"rack": "5"}, diskBytes=9), row(2))

    run = world.run(job)

    assert counts(run) == {"changed": 1, "unchanged": 1}
    assert run.result["rows"] == [
        {
            "what": "changed",
            "pointer": "page 1: /machines/0",
            "hostname": "node-1",
            "mac": "52:54:00:00:03:01",
            "fields": {
                "labels": {"before": {"rack": "4"}, "after": {"rack": "5"}},
                "diskBytes": {"before": None, "after": 9},
            },
        }
    ]
    assert Machine.get(Machine.hostname == "node-1").labels == {"rack": "5"}


def test_a_dry_run_tells_the_same_and_writes_nothing(world, partner):
    job = world.job("http", serves(partner, row(1)))
    world.run(job)
    serves(partner, row(1, labels={"rack": "5"}), row(2), row(3, hostname="-"))
    audited = lists.audit()

    dry = world.run(job, dry_run=True)

    assert counts(dry) == {"created": 1, "changed": 1, "invalid": 1}
    assert Machine.select().count() == 1
    assert Machine.get().labels == {"rack": "4"}
    added = len(lists.audit()) - len(audited)
    assert (dry.dry_run, added) == (True, 1)  # the asking
    assert counts(world.run(job)) == counts(dry)


INVALID = {
    "no host name": ({"hostname": "-bad-"}, "/machines/1/hostname"),
    "no MAC": (
        {"interfaces": [{"name": "a", "macAddress": "x"}]},
        "/machines/1/interfaces/0/macAd",
    ),
    "no interface": ({"interfaces": []}, "/machines/1/interfaces"),
    "unknown field": ({"hostnmae": "x"}, "/machines/1/hostnmae"),
    "a password": ({"bmc": {"address": "https://a:b@c", "secretRef": "env:X"}}, "/machines/1/bmc"),
    "no reference": (
        {"bmc": {"address": "h", "secretRef": "hunter2"}},
        "/machines/1/bmc/secretRef",
    ),
    "a NUL": ({"labels": {"a": "\0"}}, "/machines/1/labels/a"),
    "a huge number": ({"memoryMib": 10**30}, "/machines/1/memoryMib"),
    "an odd key": ({"a/b~c": 1}, "/machines/1/a~1b~0c"),
    "one MAC twice": (
        {"interfaces": [{"name": n, "macAddress": "52:54:00:00:09:01"} for n in "ab"]},
        "/machines/1/interfaces",
    ),
}


@pytest.mark.parametrize("case", INVALID)
def test_a_row_that_cannot_be_read_says_where_and_stops_no_other(world, partner, case):
    more, pointer = INVALID[case]
    path = serves(partner, row(1), row(2, **more), row(3))

    run = world.run(world.job("http", path))

    assert counts(run) == {"created": 2, "invalid": 1}
    [told] = run.result["rows"][:1]
    assert told["pointer"].startswith(f"page 1: {pointer}")
    assert "hunter2" not in json.dumps(run.result)
    assert "a:b@" not in json.dumps(run.result)


@pytest.mark.parametrize("what", [7, None, "x", [], {}])
def test_a_row_that_is_no_machine_is_told_of(world, partner, what):
    run = world.run(world.job("http", serves(partner, what, row(1))))

    assert counts(run) == {"created": 1, "invalid": 1}


def other_site(world):
    other = make.site("fra-1")
    make.machine(other, "theirs", [make.interface("52:54:00:00:03:01")])


CONFLICTS = {
    "another site's MAC": (other_site, row(1), "a machine of another site has this MAC"),
    "a host name that is taken": (
        lambda world: make.machine(world.site, "node-1"),
        row(1),
        "another machine of the site has this host name",
    ),
    "another host name": (
        lambda world: make.machine(world.site, "old", [make.interface("52:54:00:00:03:01")]),
        row(1),
        "the machine is known as old; its host name stays",
    ),
    "another architecture": (
        lambda world: make.machine(
            world.site, "node-1", [make.interface("52:54:00:00:03:01")], architecture="arm64"
        ),
        row(1),
        "the machine is recorded as arm64",
    ),
    "a retired machine": (
        lambda world: (
            make.machine(world.site, "node-1", [make.interface("52:54:00:00:03:01")]),
            Machine.update(state="retired").execute(),
        ),
        row(1),
        "the machine is retired, and stays as it is until that is over",
    ),
}


@pytest.mark.parametrize("case", CONFLICTS)
@pytest.mark.parametrize("dry_run", [True, False])
def test_what_conflicts_is_told_and_left_alone(world, partner, case, dry_run):
    prepare, wanted, why = CONFLICTS[case]
    prepare(world)
    before = Machine.select().count()
    path = serves(partner, wanted, row(2))

    run = world.run(world.job("http", path), dry_run=dry_run)

    assert counts(run) == {"created": 1, "conflicting": 1}
    assert run.result["rows"][0]["why"] == why
    assert Machine.select().count() == before + (0 if dry_run else 1)


def test_two_rows_that_mean_the_same_conflict(world, partner):
    path = serves(partner, row(1), row(1, hostname="node-9"), row(3, hostname="node-1"))

    run = world.run(world.job("http", path))

    assert counts(run) == {"created": 1, "conflicting": 2}


def test_interfaces_that_a_row_no_longer_has_are_told_of_as_a_change(world, partner):
    nics = [{"name": f"eth{n}", "macAddress": f"52:54:00:00:04:{n:02x}"} for n in range(2)]
    job = world.job("http", serves(partner, row(1, interfaces=nics)))
    world.run(job)
    serves(partner, row(1, interfaces=nics[:1]))

    run = world.run(job)

    assert list(run.result["rows"][0]["fields"]) == ["interfaces"]
    assert Interface.select().count() == 1


def test_pages_follow_their_next_link(world, partner):
    serves(partner, row(1), next="/machines?page=2")
    serves(partner, row(2), path="/machines?page=2", next=f"{partner.url}/machines?page=3")
    serves(partner, row(3), path="/machines?page=3")

    run = world.run(world.job("http", "/machines"))

    assert counts(run) == {"created": 3}
    assert [each.path for each in partner.asked] == [
        "/machines",
        "/machines?page=2",
        "/machines?page=3",
    ]


@pytest.mark.parametrize(
    ("following", "words"),
    [
        ("/machines", "page 2 was read before"),
        ("http://169.254.169.254/", "page 1 leads to another server"),
        ("http://elsewhere.example/", "page 1 leads to another server"),
        ("file:///etc/passwd", "want an http"),
        (7, "the next page is no URL"),
    ],
)
def test_a_next_link_leads_on_and_nowhere_else(world, partner, following, words):
    serves(partner, row(1), next=following)

    run = world.run(world.job("http", "/machines"))

    assert run.state == "failed"
    assert words in run.detail


def test_who_asks_is_told_to_no_other_server(world, partner):
    with partners.running() as other:
        serves(other, row(1))
        partner.answers.append((302, {"Location": f"{other.url}/machines"}, b""))

        run = world.run(world.job("http", "/machines"))

    assert counts(run) == {"created": 1}
    assert "authorization" in partner.asked[0].headers
    assert "authorization" not in other.asked[0].headers


def test_a_document_that_has_not_changed_is_not_read_again(world, partner):
    partner.etag = '"v1"'
    job = world.job("http", serves(partner, row(1)))
    world.run(job)

    again, dry = world.run(job), world.run(job, dry_run=True)

    assert again.detail == "the document has not changed since it was imported"
    assert counts(dry) == {"unchanged": 1}


def test_a_document_with_a_fault_is_read_again(world, partner):
    partner.etag = '"v1"'
    job = world.job("http", serves(partner, row(1), 7))
    world.run(job)

    assert counts(world.run(job)) == {"unchanged": 1, "invalid": 1}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b"{}",
        b'{"machines": 7}',
        b"[" * 100_000,
        b'{"machines": [' + b" " * (9 << 20) + b"]}",
    ],
)
def test_what_is_no_inventory_is_refused_with_words(world, partner, body):
    partner.pages["/machines"] = body

    run = world.run(world.job("http", "/machines"))

    assert run.state == "failed"
    assert run.detail


def test_a_page_that_fails_tells_what_came_before(world, partner):
    serves(partner, row(1), next="/gone")

    run = world.run(world.job("http", "/machines"))

    assert run.detail.endswith("answers 404 no such page (before that: 1 created)")
    assert Machine.select().count() == 1


def test_a_run_that_is_anothers_by_now_writes_nothing_more(world, partner):
    serves(partner, row(1))
    job = world.job("http", "/machines")
    run = jobs.run_integration(make.ADA, job, reason="")
    held = errands.take([Errand.INTEGRATION_RUN])
    assert isinstance(held, Held)
    mine = runner.Job(held, Deadline.after(60), time.monotonic() + 30)
    mine.lost.set()
    resolvers = {"env": secrets.from_environment(world.env, prefix="SPROUT_SECRET_")}

    with pytest.raises(LeaseLost):
        doing.run(mine, runner.Means(resolvers=resolvers, allow=NEAR))

    assert (jobs.run(job, run).state, Machine.select().count()) == ("running", 0)

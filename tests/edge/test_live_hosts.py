"""GET /events: what happens to hosts, told to whoever may see them, and resumed."""

import json
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from models import host_log
from models.commands import asks, moves, tokens
from models.database import borrowed, database
from models.observations import Seen
from models.roles import Role
from models.tables import Machine
from tests.conftest import copied
from tests.edge import live as lab
from tests.edge.conftest import serving, variables
from tests.edge.live import Stream, hearing
from tests.models import make

pytestmark = pytest.mark.services

NUMBERS = count(10)


@pytest.fixture(scope="module")
def settings(postgres, migrated, tmp_path_factory):
    folder = tmp_path_factory.mktemp("live")
    with copied(postgres, migrated) as url:
        yield variables(url, folder)


@pytest.fixture(scope="module")
def live(settings):
    """One process for all of these: each has hosts of its own."""
    with hearing(settings, Path(settings["HOME"])) as running:
        yield running


@pytest.fixture(scope="module")
def edge(settings, live):
    with serving(settings, live.log.parent) as running:
        yield running


@pytest.fixture(scope="module")
def site(settings):
    with borrowed():
        return make.site()


@pytest.fixture
def host(site):
    """A host, with the database at hand."""
    with borrowed():
        yield registered(site)


def registered(site, server_type="ms-01"):
    number = next(NUMBERS)
    nic = make.interface(f"52:54:00:00:01:{number:02x}")
    return make.machine(site, f"pve-{number}", [nic], server_type=server_type)


def seen(machine, kind=Seen.BMC_CALL, **data):
    """Something was seen of *machine*."""
    with database.atomic():
        moves.noted(Machine.get_by_id(machine), kind, data)


def listening(edge, **headers):
    stream = Stream(edge.url, "/events", **headers)
    stream.until("id")
    return stream


def heard(stream, kind):
    """The data of all that is told up to the activity *kind*."""
    told = []
    while not told or (told[-1][0], told[-1][1].get("kind")) != ("activity", kind):
        block = stream.next()
        assert block, f"it ended before {kind}: {told}"
        if "data" in block:
            told.append((block["event"], json.loads(block["data"]), int(block["id"])))
    return told


def test_what_is_asked_and_what_becomes_of_it_is_told_in_order_with_its_operation(edge, site, host):
    make.Agent(site)
    with listening(edge) as stream:
        flow = asks.commission(make.ADMIN, host, reason="new")
        asks.cancel(make.ADMIN, flow, reason="not now")

        told = heard(stream, "cancelled") + heard(stream, "state-moved")

    states = [data["state"] for word, data, _ in told if word == "state"]
    operations = [data for word, data, _ in told if word == "operation"]
    assert states[-1] == "failed"
    assert [data["state"] for data in operations][-1] == "cancelled"
    assert {data["operation_id"] for _, data, _ in told} == {str(flow)}
    assert {data["host_id"] for _, data, _ in told} == {str(host)}


def test_each_event_has_an_id_from_which_it_goes_on(edge, host):
    with listening(edge) as first:
        for number in range(60):
            seen(host, number=number)
        seen(host, Seen.ASKED, verb="x", workflow="x")
        told = heard(first, "asked")

    numbers = [number for _, _, number in told]
    assert numbers == sorted(set(numbers))
    after = numbers[20]
    with Stream(edge.url, "/events", **{"Last-Event-ID": str(after)}) as second:
        assert heard(second, "asked") == told[21:]


def test_nothing_is_lost_or_said_twice_between_what_was_and_what_comes(edge, host):
    before = host_log.newest()
    for number in range(70):
        seen(host, number=number)
    with Stream(edge.url, "/events", **{"Last-Event-ID": str(before)}) as stream:
        for number in range(70, 90):
            seen(host, number=number)
        seen(host, Seen.CONFIRMED, by="ada", step="x")

        told = heard(stream, "confirmed")

    mine = [data for _, data, _ in told if data["host_id"] == str(host)]
    assert [data["data"]["number"] for data in mine[:-1]] == list(range(90))


def test_a_machine_that_is_no_host_is_not_told_of(edge, site, host):
    machine = registered(site, server_type=None)
    with listening(edge) as stream:
        seen(machine)
        seen(host)

        assert [data["host_id"] for _, data, _ in heard(stream, "bmc-call")] == [str(host)]


def test_whoever_is_bound_to_a_site_hears_of_no_other(edge, site, host):
    with borrowed():
        own = make.site(slug="own-1")
        mine = registered(own)
    before = host_log.newest()
    _, token = tokens.create(
        make.ADA, name="wall", role=Role.VIEWER, sites=[own], life=timedelta(hours=1)
    )
    bound = {"token": token, "path": "/events"}
    with Stream(edge.url, **bound) as stream:
        stream.until("id")
        seen(host)
        seen(mine)
        told = heard(stream, "bmc-call")
    with Stream(edge.url, **bound, **{"Last-Event-ID": str(before)}) as resumed:
        again = heard(resumed, "bmc-call")

    assert [data["host_id"] for _, data, _ in told] == [str(mine)]
    assert again == told


def test_a_gap_is_told_and_a_number_that_never_was(edge, host):
    seen(host)
    with Stream(edge.url, "/events", **{"Last-Event-ID": "9" * 18}) as ahead:
        never = ahead.until(event="reset")[-1]
        seen(host)
        number = heard(ahead, "bmc-call")[-1][2]
    database.execute_sql("DELETE FROM observations WHERE id < %s", (number // 4,))
    with Stream(edge.url, "/events", **{"Last-Event-ID": "1"}) as gone:
        lost = gone.until(event="reset")[-1]

    assert json.loads(never["data"]) == {"newest": int(never["id"])}
    assert json.loads(lost["data"]) == {"newest": int(lost["id"])}


@pytest.mark.parametrize("given", ["9" * 400, "-1", "seven", "0x10", ""])
def test_what_is_no_number_of_ours_begins_now(edge, host, given):
    with listening(edge, **{"Last-Event-ID": given}) as stream:
        seen(host)

        assert heard(stream, "bmc-call")[0][1]["host_id"] == str(host)


def test_an_agent_that_says_what_only_control_does_moves_no_host(edge, site, host):
    agent = make.Agent(site)
    with listening(edge) as stream:
        agent.report(Seen.STATE_MOVED, host, data={"from": "registered", "to": "active"})
        seen(host)

        told = heard(stream, "bmc-call")

    assert {word for word, _, _ in told} == {"activity"}


def test_what_an_open_transaction_holds_back_is_told_when_it_ends(edge, host, settings):
    with listening(edge) as stream:
        with lab.transaction(settings["SPROUT_DATABASE_URL"]):
            seen(host)

        assert heard(stream, "bmc-call")[0][1]["host_id"] == str(host)


def test_nobody_in_particular_hears_nothing(edge):
    with Stream(edge.url, "/events", token="") as stranger:
        assert stranger.answer.status_code == 401

"""NetBox by written exchanges: what is asked is exactly what was foreseen, and nothing more."""

from hashlib import sha256

import pytest

from actors.control import provisions
from actors.drivers import netbox
from actors.drivers.deadline import Deadline
from actors.drivers.errors import Conflict, Garbled, Refused
from actors.drivers.providers import Errand
from config.capabilities import External
from tests.services.netbox import TOKEN, Exchange, address, listing, prefix, replaying

KEY = "flow/address-given/3"
MARK = f"sprout-{sha256(KEY.encode()).hexdigest()[:32]}"
NAME = "node-01.prov.example"
ITEM = {"network": "10.77.0.0/24", "hostname": NAME, "key": KEY, "external_id": "71"}

PREFIXES = "/api/ipam/prefixes/?prefix=10.77.0.0%2F24&limit=2"
MARKED = f"/api/ipam/ip-addresses/?description={MARK}&limit=2"
NEXT = "/api/ipam/prefixes/5/available-ips/"
ONE = "/api/ipam/ip-addresses/71/"

MADE = address(71, "10.77.0.12/24", name=NAME, description=MARK)
LOOKED = Exchange("GET", MARKED, 200, listing())
FOUND = Exchange("GET", PREFIXES, 200, listing(prefix(5, "10.77.0.0/24")))
TAKEN = Exchange("POST", NEXT, 201, MADE, {"dns_name": NAME, "description": MARK})


def errand():
    return Errand(key=KEY, request_id="r-1", deadline=Deadline.after(60))


def peer(url, token=TOKEN):
    external = External(capability="ipam", kind="netbox", url=url, token=token)
    return provisions.peer(external, resolvers={})


def replayed(does, *exchanges):
    """Do it against a replay of *exchanges*, all of which must come to pass."""
    with replaying(*exchanges) as replay:
        try:
            return does(peer(replay.url), errand(), ITEM)
        finally:
            assert (replay.left, replay.strange) == ([], [])


def test_the_next_free_address_of_the_prefix_is_taken_and_marked():
    assert replayed(netbox.allocate, LOOKED, FOUND, TAKEN) == {
        "external_id": "71",
        "address": "10.77.0.12",
    }


def test_what_was_made_without_an_answer_is_found_by_its_mark():
    found = Exchange("GET", MARKED, 200, listing(MADE))

    assert replayed(netbox.allocate, found)["address"] == "10.77.0.12"


@pytest.mark.parametrize("prefixes", [(), (prefix(5, "10.77.0.0/24"), prefix(6, "10.77.0.0/24"))])
def test_a_prefix_that_is_not_there_or_there_twice_is_refused(prefixes):
    found = Exchange("GET", PREFIXES, 200, listing(*prefixes))

    with pytest.raises(Refused, match="and needs exactly one"):
        replayed(netbox.allocate, LOOKED, found)


def test_a_full_prefix_is_refused_with_the_cure():
    full = Exchange("POST", NEXT, 409, {"detail": "no"}, TAKEN.body)

    with pytest.raises(Refused, match=r"no free address .*widen it there"):
        replayed(netbox.allocate, LOOKED, FOUND, full)


@pytest.mark.parametrize(
    "told",
    [
        [],
        {},
        {"id": 71},
        {"id": "x", "address": "10.77.0.12/24"},
        {"id": 71, "address": "2001:db8::1/64"},
    ],
)
def test_an_answer_without_an_address_is_garbled(told):
    strange = Exchange("POST", NEXT, 201, told, TAKEN.body)

    with pytest.raises(Garbled):
        replayed(netbox.allocate, LOOKED, FOUND, strange)


def test_an_address_is_given_back_where_it_is_still_what_was_made():
    replayed(netbox.release, Exchange("GET", ONE, 200, MADE), Exchange("DELETE", ONE, 204))


def test_an_address_that_is_gone_is_given_back():
    replayed(netbox.release, Exchange("GET", ONE, 404, {"detail": "Not found."}))


def test_an_address_that_somebody_took_over_is_left_alone():
    theirs = address(71, "10.77.0.12/24", name="db", description="database")

    with pytest.raises(Conflict, match="no longer what Sprout made"):
        replayed(netbox.release, Exchange("GET", ONE, 200, theirs))


def test_a_wrong_token_is_refused_in_words_that_do_not_hold_it():
    with replaying() as replay, pytest.raises(Refused, match="token") as caught:
        netbox.allocate(peer(replay.url, "a-wrong-token"), errand(), ITEM)

    assert "a-wrong-token" not in str(caught.value)


def test_netbox_that_works_is_healthy():
    works = Exchange("GET", "/api/status/", 200, {"netbox-version": "3.7.8", "plugins": {}})

    with replaying(works) as replay:
        netbox.health(peer(replay.url), errand())

    assert (replay.left, replay.strange) == ([], [])

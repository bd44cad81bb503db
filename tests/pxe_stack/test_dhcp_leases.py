"""Leases of the pool, decided without sockets: every state of a client, at any time."""

import pytest

from pxe_stack.dhcp import Ignored, Why
from pxe_stack.leases import Share, client_key
from pxe_stack.net_store import Range
from pxe_stack.packets import Kind, Option
from tests.pxe_stack.nets import (
    LEASE_S,
    NET,
    POOL,
    Site,
    address,
    asks,
    mac,
    network,
    number,
    seconds,
)

HALF = LEASE_S / 2


@pytest.fixture
def site():
    return Site(network())


def test_a_stranger_is_offered_an_address_of_the_pool_and_nothing_is_written(site):
    offer = site.discover(1)

    assert (offer.kind, offer.yiaddr, seconds(offer)) == (Kind.OFFER, POOL[0], LEASE_S)
    assert site.written == []


def test_an_ack_is_of_a_lease_that_is_to_be_written_first(site):
    held = site.lease(1)

    (lease,) = site.written
    assert (lease.address, lease.expires) == (number(held), site.now + LEASE_S)


def test_clients_at_the_same_time_are_offered_different_addresses(site):
    assert len({site.discover(n).yiaddr for n in range(10)}) == 10


def test_a_discover_that_is_repeated_is_offered_the_same_again(site):
    assert site.discover(1).yiaddr == site.discover(1).yiaddr


def test_the_same_client_gets_its_address_back_after_it_ran_out(site):
    held = site.lease(1)
    site.lease(2)
    site.now += 10 * LEASE_S

    assert site.lease(1) == held


def test_a_released_address_is_remembered_and_free_for_others(site):
    held = [site.lease(n) for n in range(10)]
    site.ask(asks(3, Kind.RELEASE, ciaddr=held[3]))

    assert site.lease(99) == held[3]
    assert site.discover(3).why is Why.EXHAUSTED


def test_nobody_releases_what_is_anothers(site):
    held = site.lease(1)

    assert site.ask(asks(2, Kind.RELEASE, ciaddr=held)).why is Why.NO_RECORD
    assert site.renew(1, held).kind is Kind.ACK


def test_a_declined_address_rests_and_its_client_is_given_another(site):
    held = site.lease(1)
    site.ask(asks(1, Kind.DECLINE, {Option.REQUESTED_ADDRESS: address(held)}))

    assert site.lease(1) != held
    assert held not in {site.discover(n).yiaddr for n in range(2, 10)}


def test_nobody_declines_what_is_anothers(site):
    held = site.lease(1)
    decline = asks(2, Kind.DECLINE, {Option.REQUESTED_ADDRESS: address(held)})

    assert site.ask(decline).why is Why.NO_RECORD
    assert site.renew(1, held).kind is Kind.ACK


def test_a_full_pool_is_said_to_be_full_until_the_first_lease_ends(site):
    for n in range(10):
        site.lease(n)
        site.now += 1

    assert site.discover(99).why is Why.EXHAUSTED
    site.now += LEASE_S - 10
    assert site.lease(99) == POOL[0]


def test_an_address_is_never_two_clients_at_once_however_they_ask(site):
    held = site.lease(1)

    assert site.select(2, held).kind is Kind.NAK
    assert site.renew(2, held).kind is Kind.NAK
    assert site.discover(2, {Option.REQUESTED_ADDRESS: address(held)}).yiaddr != held


def test_offers_to_those_who_never_come_keep_nobody_out(site):
    for n in range(10, 1000):
        site.discover(n)

    offer = site.discover(1)
    for n in range(1000, 2000):
        site.discover(n)
    assert site.select(1, offer.yiaddr).kind is Kind.ACK


@pytest.mark.parametrize("after", [0, 1, HALF - 1])
def test_in_its_first_half_a_lease_is_confirmed_for_the_rest_and_not_written_again(site, after):
    held = site.lease(1)
    site.now += after

    ack = site.renew(1, held)

    assert (ack.kind, seconds(ack)) == (Kind.ACK, LEASE_S - after)
    assert len(site.written) == 1


def test_in_its_second_half_a_lease_is_made_longer_and_written(site):
    held = site.lease(1)
    site.now += HALF + 1

    assert seconds(site.renew(1, held)) == LEASE_S
    assert site.written[-1].expires == site.now + LEASE_S


def test_a_client_is_never_told_more_than_what_lies_on_the_disk(site):
    held = site.lease(1)
    for _ in range(200):
        site.now += 13.7
        told = seconds(site.renew(1, held))
        assert site.now + told <= site.written[-1].expires


def test_what_was_chosen_of_another_server_is_not_disturbed(site):
    chosen = {Option.SERVER_ID: address("10.77.0.2"), Option.REQUESTED_ADDRESS: address(POOL[0])}

    assert site.ask(asks(1, Kind.REQUEST, chosen)).why is Why.OTHER_SERVER


def test_a_rebooting_client_that_is_remembered_is_confirmed(site):
    held = site.lease(1)

    assert site.reboot(1, held).kind is Kind.ACK


def test_a_rebooting_client_of_which_there_is_no_record_hears_nothing(site):
    assert site.reboot(1, "10.77.0.103").why is Why.NO_RECORD


@pytest.mark.parametrize("wanted", ["192.168.1.7", "10.78.0.100"])
def test_a_client_that_comes_from_another_network_is_told_so(site, wanted):
    assert site.reboot(1, wanted).kind is Kind.NAK


def test_a_rebooting_client_that_is_mistaken_is_told_so(site):
    held = site.lease(1)
    other = POOL[1] if held == POOL[0] else POOL[0]

    assert site.reboot(1, other).kind is Kind.NAK


@pytest.mark.parametrize("broadcast", [True, False])
def test_a_lease_that_was_forgotten_is_taken_up_again_when_its_client_renews_it(site, broadcast):
    ack = site.ask(asks(1, Kind.REQUEST, ciaddr="10.77.0.104", broadcast=broadcast))

    assert (ack.kind, ack.yiaddr) == (Kind.ACK, "10.77.0.104")
    assert len(site.written) == 1


def test_a_client_whose_address_is_another_servers_hears_nothing(site):
    assert site.renew(1, "10.77.0.33").why is Why.NO_RECORD


def test_an_inform_is_told_everything_but_an_address(site):
    ack = site.ask(asks(1, Kind.INFORM, ciaddr="10.77.0.33"))

    assert (ack.kind, ack.yiaddr, ack.to) == (Kind.ACK, "0.0.0.0", ("10.77.0.33", 68))
    assert Option.LEASE_TIME not in ack.told


def test_who_sends_its_hardware_address_as_identifier_is_the_same_client(site):
    own = b"\x01" + bytes.fromhex(mac(1).replace(":", ""))

    assert site.lease(1) == site.lease(1, {Option.CLIENT_ID: own})
    assert client_key(mac(1), None) == client_key(mac(1), own)


def test_who_sends_another_identifier_is_another_client(site):
    assert site.lease(1) != site.lease(1, {Option.CLIENT_ID: b"\xffsomebody else"})


def test_an_identifier_keeps_its_address_on_another_card(site):
    same = {Option.CLIENT_ID: b"\xffone of two cards"}

    assert site.lease(1, same) == site.lease(2, same)


@pytest.mark.parametrize("fixed", ["10.77.0.100", "10.77.0.101"])
def test_an_address_that_a_plan_reserves_is_never_leased(fixed):
    site = Site(network(), reservations={"52:54:00:00:00:99": fixed})

    assert fixed not in {site.lease(n) for n in range(9)}
    assert site.select(50, fixed).kind is Kind.NAK


def two_agents():
    cut = [("10.77.0.100", "10.77.0.104"), ("10.77.0.105", "10.77.0.109")]
    ranges = [[Range(NET, *map(type(network().gateway), each))] for each in cut]
    return [Site(network(), ranges=each) for each in ranges]


def test_of_two_agents_one_answers_at_once_and_both_get_their_part():
    first, second = two_agents()

    answers = [(first.discover(n), second.discover(n)) for n in range(200)]

    silent = [[isinstance(each, Ignored) for each in pair] for pair in answers]
    assert all(sum(pair) >= 1 for pair in silent)
    assert {tuple(pair) for pair in silent} >= {(True, False), (False, True)}


@pytest.mark.parametrize("patience", [{"secs": 4}, {"tries": 3}])
def test_the_other_agent_answers_a_client_that_waits_in_vain(patience):
    for site in two_agents():
        site.tries = patience.get("tries", 1)
        for n in range(3):
            assert site.discover(n, secs=patience.get("secs", 0)).kind is Kind.OFFER


def test_two_agents_never_give_the_same_address():
    first, second = two_agents()
    given = [site.lease(n, secs=9) for site in (first, second) for n in range(5)]

    assert len(set(given)) == 10


def test_a_client_that_renews_with_the_agent_that_does_not_know_it_hears_nothing():
    first, second = two_agents()
    held = first.lease(1, secs=9)

    assert second.renew(1, held).why is Why.NO_RECORD
    assert second.reboot(1, held).why is Why.NO_RECORD


def test_processes_of_one_agent_have_disjoint_addresses_however_ranges_change():
    sites = [Site(network(), share=Share(index, 3)) for index in range(3)]
    given = [[site.discover(n).yiaddr for n in range(3)] for site in sites]

    assert len({each for part in given for each in part}) == 9


def test_a_lease_of_another_process_is_kept_until_it_ends_and_not_made_longer():
    alone = Site(network())
    held = [alone.lease(n) for n in range(4)]
    shared = Site(network(), share=Share(0, 2))
    shared.leases.load(alone.written)
    other = next(n for n in range(4) if number(held[n]) % 2)
    shared.now += HALF + 1

    assert seconds(shared.renew(other, held[other])) == HALF - 1
    assert shared.written == []
    assert held[other] not in {shared.discover(n).yiaddr for n in range(50, 60) if n}


def test_memory_stays_within_the_pool_whoever_comes(site):
    for n in range(20_000):
        site.discover(n)
        site.ask(asks(n, Kind.RELEASE, ciaddr=site.select(n, POOL[0]).yiaddr))

    leases = site.leases
    assert len(leases) == 1
    assert len(leases._offered) + len(leases._by_client) <= 20
    assert len(leases._resting[NET.int]) < 1000

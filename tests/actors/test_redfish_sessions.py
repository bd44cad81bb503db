"""Sessions that are kept between tasks: few, for a while, and never another's."""

import threading
from contextlib import contextmanager
from ipaddress import ip_network

import pytest

from actors.drivers import redfish
from actors.drivers.errors import NoEffect, Refused, Unreachable
from actors.drivers.reach import Rules
from actors.drivers.redfish_sessions import MOST, Owner, Session, Sessions
from actors.drivers.systems import Target
from config.secrets import Secret
from tests.actors import hostile_bmc
from tests.actors.hostile_bmc import PASSWORD, SESSIONS, on, times
from tests.actors.lane import until
from tests.actors.patience import Clock

LOOPBACK = Rules(networks=(ip_network("127.0.0.0/8"),), total_s=3.0)


@pytest.fixture
def bmc():
    with hostile_bmc.running() as running:
        yield running


@pytest.fixture
def sessions():
    made = Sessions(idle_s=60.0)
    yield made
    made.close()


@contextmanager
def machine_at(bmc, sessions, password=PASSWORD):
    clock = Clock()
    with redfish.connected(
        Target(address=bmc.url, username="admin", password=Secret(password)),
        rules=LOOPBACK,
        deadline=clock.after(60.0),
        seen=lambda _: None,
        pause=clock.wait,
        sessions=sessions,
    ) as machine:
        yield machine


def test_tasks_one_after_another_share_a_session_and_the_last_leaves_none_behind(bmc, sessions):
    for wanted in (True, False, True):
        with machine_at(bmc, sessions) as machine:
            machine.ensure_power(on=wanted)

    assert (len(bmc.logins), len(bmc.tokens)) == (1, 1)
    sessions.close()
    assert bmc.tokens == set()


def test_a_session_that_nobody_wants_is_closed_after_a_while(bmc):
    sessions = Sessions(idle_s=0.05)

    with machine_at(bmc, sessions):
        pass

    until(lambda: not bmc.tokens)
    with machine_at(bmc, sessions) as machine:
        machine.power()
    until(lambda: not bmc.tokens)
    assert len(bmc.logins) == 2


def test_a_session_that_the_bmc_ended_meanwhile_is_begun_anew_once(bmc, sessions):
    with machine_at(bmc, sessions):
        pass
    bmc.tokens.clear()

    with machine_at(bmc, sessions) as machine:
        assert machine.ensure_power(on=True)["changed"]

    assert len(bmc.logins) == 2


def test_a_session_is_not_lent_to_who_gives_another_password(bmc, sessions):
    with machine_at(bmc, sessions):
        pass

    with pytest.raises(Refused), machine_at(bmc, sessions, password="guessed-at-random"):
        pass

    assert len(bmc.logins) == 2


def test_after_a_failure_the_session_is_closed(bmc, sessions):
    bmc.obeys = False

    with pytest.raises(NoEffect), machine_at(bmc, sessions) as machine:
        machine.ensure_power(on=True)

    assert bmc.tokens == set()


def test_a_session_waits_on_while_its_bmc_does_not_answer(bmc, sessions):
    with machine_at(bmc, sessions):
        pass
    silent = on("GET", hostile_bmc.ROOT, lambda handler: handler.connection.close())
    bmc.faults.append(times(1, silent))
    with pytest.raises(Unreachable), machine_at(bmc, sessions):
        pass

    with machine_at(bmc, sessions) as machine:
        machine.power()

    assert len(bmc.logins) == 1


def test_two_at_once_have_a_session_each_and_one_of_them_waits(bmc, sessions):
    with machine_at(bmc, sessions), machine_at(bmc, sessions):
        assert len(bmc.tokens) == 2

    assert len(bmc.tokens) == 1


def test_a_session_whose_path_leads_elsewhere_is_not_followed_there(bmc):
    owner = Owner(bmc.url, "admin", Secret(PASSWORD))

    Session(owner, Secret("token"), "http://127.0.0.2:1/x", LOOPBACK, verify=True).end()

    assert bmc.requests == []


def test_no_more_are_kept_than_a_bound(bmc, sessions):
    ended = []

    class Told(Session):
        def end(self):
            ended.append(self.path)

    for number in range(MOST + 3):
        owner = Owner(f"http://bmc-{number}", "admin", Secret(""))
        with sessions.lent(owner) as loan:
            loan.session = Told(owner, Secret(""), str(number), LOOPBACK, verify=True)

    assert ended == ["0", "1", "2"]


def test_what_comes_back_after_the_end_is_closed_at_once(bmc, sessions):
    with machine_at(bmc, sessions):
        sessions.close()

    assert bmc.tokens == set()
    assert bmc.count("DELETE", f"{SESSIONS}/token-1") == 1


def test_no_token_shows():
    session = Session(Owner("b", "u", Secret("p")), Secret("t0ken"), "/x", LOOPBACK, verify=True)

    assert "t0ken" not in repr(session)


def test_tasks_in_many_threads_leave_none_behind(bmc, sessions):
    def task():
        with machine_at(bmc, sessions) as machine:
            machine.power()

    threads = [threading.Thread(target=task) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    sessions.close()
    assert bmc.tokens == set()

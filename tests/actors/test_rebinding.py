"""What is called by a name: where that comes to mean this machine or its wire, it is not called.

A name is resolved anew for each connection; what was good when it was entered is no promise.
"""

import socket
from contextlib import ExitStack

import pytest

from actors.control import provisions
from actors.drivers import ipmi, reach, redfish
from actors.drivers.bmcs import Target
from actors.drivers.deadline import Deadline
from actors.drivers.elsewhere import Elsewhere
from actors.drivers.errors import NotAllowed
from actors.drivers.partner import Partner
from actors.drivers.providers import Errand, ask
from actors.drivers.vault import Vault, from_vault
from config.capabilities import External
from config.secrets import Secret, Unresolved
from tests.actors import edge_lab
from tests.actors.edge_lab import says

NAME = "partner.example"
NEAR = ("127.0.0.1", "::ffff:127.0.0.1", "169.254.1.1", "169.254.169.254", "100.100.100.200")


def board(driver, scheme):
    def call(port):
        at = Target(address=f"{scheme}://{NAME}:{port}", username="u", password=Secret("p"))
        how = {"rules": reach.bmc(()), "deadline": Deadline.after(5), "seen": lambda _: None}
        with driver.connected(at, **how) as machine:
            machine.power()

    return call


def provider(port):
    errand = Errand(key="k", request_id="r", deadline=Deadline.after(5))
    external = External(capability="dns", kind="contract", url=f"http://{NAME}:{port}", token="t")
    ask(provisions.peer(external, {}), errand, "GET", "/")


def vault(port):
    from_vault(Vault(f"http://{NAME}:{port}", Secret("t")))("kv/bmc#password")


def partner(act):
    def call(port):
        act(Partner(reach.integration(()), Deadline.after(5)), f"http://{NAME}:{port}/")

    return call


def artifact(port, allow=()):
    with Elsewhere(reach.integration(allow)).exchange("GET", f"http://{NAME}:{port}/", headers={}):
        pass


CALLS = {
    "a BMC by Redfish": board(redfish, "http"),
    "a BMC by IPMI": board(ipmi, "ipmi"),
    "a provider": provider,
    "Vault": vault,
    "what is read of a partner": partner(lambda p, url: p.get(url, {}, most_bytes=100)),
    "what is sent to a partner": partner(lambda p, url: p.send("POST", url, {}, b"x")),
    "an artifact": artifact,
}


@pytest.fixture
def means(monkeypatch):
    """Has the name mean one address after another, and the last of them from then on."""
    real, answers = socket.getaddrinfo, []

    def lookup(host, *more, **how):
        if host != NAME:
            return real(host, *more, **how)
        address = answers.pop(0) if len(answers) > 1 else answers[0]
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [(family, socket.SOCK_STREAM, 6, "", (address, more[0] if more else 0))]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    return answers


@pytest.mark.parametrize("address", NEAR)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_name_that_comes_to_mean_what_is_near_is_not_called(means, call, address):
    means.append(address)
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        server.setblocking(False)
        with pytest.raises((NotAllowed, Unresolved), match=r"metadata|ordinary|public"):
            call(server.getsockname()[1])

        with pytest.raises(BlockingIOError):
            server.accept()


def test_an_artifact_that_leads_on_is_judged_by_what_its_name_means_by_then(means):
    means.extend(["127.0.0.1", "169.254.169.254"])
    with edge_lab.running() as mirror:
        mirror.faults = [says(302, Location="/moved")]

        with pytest.raises(NotAllowed, match="metadata"):
            artifact(int(mirror.url.rpartition(":")[2]), allow=("127.0.0.1",))

    assert len(mirror.requests) == 1


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"])
def test_what_a_setting_writes_out_may_be_near(url):
    reach.provider(url).judge(reach.IPv4Address("127.0.0.1"))


@pytest.mark.parametrize("url", ["http://[::1", "", "http://dns.example"])
def test_what_a_setting_names_may_not_be_near_and_says_what_to_write(url):
    with pytest.raises(NotAllowed, match="write the address itself"):
        reach.provider(url).judge(reach.IPv4Address("127.0.0.1"))

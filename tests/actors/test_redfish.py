"""The Redfish driver against a BMC that errs, stalls, lies and forgets."""

import re
import socket
import ssl
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_network

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sushy import exceptions as upstream

from actors.drivers import redfish, redfish_line
from actors.drivers.deadline import Deadline
from actors.drivers.errors import (
    DriverError,
    Garbled,
    NoEffect,
    NoSuchSystem,
    NotAllowed,
    Refused,
    Unreachable,
)
from actors.drivers.reach import Rules
from actors.drivers.systems import Identity, Target
from config.secrets import Secret
from tests.actors import hostile_bmc
from tests.actors.hostile_bmc import MAC, PASSWORD, RESET, SESSIONS, SYSTEM, on, times
from tests.actors.patience import Clock

LOOPBACK = Rules(networks=(ip_network("127.0.0.0/8"),), total_s=3.0)
ISO = "http://images.example/rescue.iso"
TARGET = Target(address="http://bmc", username="admin", password=Secret(PASSWORD))


@pytest.fixture
def bmc():
    with hostile_bmc.running() as running:
        yield running


@contextmanager
def machine_at(bmc, *, calls=None, rules=LOOPBACK, pause=None, deadline=None, **target):
    values, clock = {"username": "admin", "password": Secret(PASSWORD)} | target, Clock()
    with redfish.connected(
        Target(address=bmc.url, **values),
        rules=rules,
        deadline=deadline or clock.after(60.0),
        seen=(calls if calls is not None else []).append,
        pause=pause or clock.wait,
    ) as machine:
        yield machine


@pytest.mark.parametrize(
    "theirs",
    [e for e in vars(upstream).values() if isinstance(e, type) and issubclass(e, Exception)],
)
def test_every_sushy_error_becomes_one_of_ours(theirs):
    error = theirs.__new__(theirs)

    with pytest.raises(DriverError) as caught, redfish_line.translated(TARGET):
        raise error

    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (requests.ConnectTimeout("slow"), Unreachable),
        (KeyError("Members"), Garbled),
        (ValueError("no JSON"), Garbled),
        (AttributeError("NoneType"), Garbled),
    ],
)
def test_whatever_else_a_bmc_provokes_becomes_one_of_ours(theirs, ours):
    with pytest.raises(ours), redfish_line.translated(TARGET):
        raise theirs


def test_off_when_off_is_no_error_and_no_order(bmc):
    with machine_at(bmc) as machine:
        result = machine.ensure_power(on=False)

    assert result == {"power": "off", "changed": False}
    assert bmc.count("POST", RESET) == 0


def test_on_is_ordered_once_and_read_back(bmc):
    with machine_at(bmc) as machine:
        result = machine.ensure_power(on=True)

    assert result == {"power": "on", "changed": True}
    assert (bmc.power, bmc.count("POST", RESET)) == ("On", 1)


def test_off_is_asked_of_the_system_first_and_then_forced(bmc):
    bmc.power, bmc.deaf_to = "On", {"GracefulShutdown"}

    with machine_at(bmc) as machine:
        machine.ensure_power(on=False)

    assert (bmc.power, bmc.count("POST", RESET)) == ("Off", 2)


def test_a_forced_off_asks_nobody(bmc):
    bmc.power, bmc.deaf_to = "On", {"GracefulShutdown"}

    with machine_at(bmc) as machine:
        machine.ensure_power(on=False, force=True)

    assert (bmc.power, bmc.count("POST", RESET)) == ("Off", 1)


def test_reboot_goes_through_off(bmc):
    bmc.power = "On"

    with machine_at(bmc) as machine:
        result = machine.reboot()

    assert (result["power"], bmc.count("POST", RESET)) == ("on", 2)


def test_a_refused_order_is_no_failure_when_the_state_is_reached_all_the_same(bmc):
    def off_by_itself(handler):
        bmc.power = "Off"
        handler.answer(409, {"error": {"message": "already off"}})

    bmc.power = "On"
    bmc.faults.append(on("POST", RESET, off_by_itself))

    with machine_at(bmc) as machine:
        assert machine.ensure_power(on=False, force=True)["power"] == "off"


def test_a_bmc_that_says_yes_and_does_nothing_is_found_out(bmc):
    bmc.obeys = False

    with (
        pytest.raises(NoEffect, match="is off all the same"),
        machine_at(bmc) as machine,
    ):
        machine.ensure_power(on=True)


def test_a_boot_source_that_is_not_kept_is_found_out(bmc):
    bmc.obeys = False

    with pytest.raises(NoEffect, match="keeps None"), machine_at(bmc) as machine:
        machine.set_boot_source("pxe")


@pytest.mark.parametrize(
    ("persistent", "kept"), [(False, "Once"), (True, "Continuous")], ids=["once", "for-good"]
)
def test_a_boot_source_is_read_back(bmc, persistent, kept):
    with machine_at(bmc) as machine:
        result = machine.set_boot_source("pxe", persistent=persistent)

    assert result == {"source": "pxe", "enabled": kept, "mode": "Legacy"}


def test_an_override_can_be_taken_back(bmc):
    with machine_at(bmc) as machine:
        machine.set_boot_source("disk")

        assert machine.set_boot_source("none")["enabled"] == "Disabled"


def test_a_boot_source_that_the_bmc_does_not_have_is_refused(bmc):
    with pytest.raises(Refused), machine_at(bmc) as machine:
        machine.set_boot_source("http")


URI = "http://boot.example/uefi-x64.efi"
ALLOWED = "BootSourceOverrideTarget@Redfish.AllowableValues"


def test_uefi_is_told_what_to_fetch_and_later_to_heed_dhcp_again(bmc):
    bmc.boot |= {ALLOWED: ["None", "Pxe", "UefiHttp"], "HttpBootUri": None}

    with machine_at(bmc) as machine:
        result = machine.set_boot_source("http", http_boot_uri=URI)
        told = bmc.boot["HttpBootUri"]
        machine.set_boot_source("http")

    assert (result["uri"], result["enabled"], told) == (URI, "Once", URI)
    assert (bmc.boot["BootSourceOverrideTarget"], bmc.boot["HttpBootUri"]) == ("UefiHttp", None)


@pytest.mark.parametrize("source", ["http", "pxe"])
def test_a_bmc_that_takes_no_uri_or_is_not_to_is_refused_before_anything_is_written(bmc, source):
    bmc.boot |= {ALLOWED: ["None", "Pxe", "UefiHttp"]}

    with machine_at(bmc) as machine, pytest.raises(Refused, match="URI"):
        machine.set_boot_source(source, http_boot_uri=URI)

    assert bmc.count("PATCH", SYSTEM) == 0


def test_a_uri_that_is_not_kept_is_found_out(bmc):
    bmc.boot |= {ALLOWED: ["None", "UefiHttp"], "HttpBootUri": "http://old.example/"}

    def half(handler):
        bmc.boot |= handler.body["Boot"] | {"HttpBootUri": "http://old.example/"}
        handler.answer(200, {})

    bmc.faults.append(on("PATCH", SYSTEM, half))

    with machine_at(bmc) as machine, pytest.raises(NoEffect, match=re.escape("old.e")):
        machine.set_boot_source("http", http_boot_uri=URI)


def test_a_virtual_cd_that_a_maker_calls_a_usb_cd_counts_as_one(bmc):
    bmc.boot |= {ALLOWED: ["None", "Cd", "UsbCd"]}

    def supermicro(handler):
        handler.answer(200, bmc.documents()[SYSTEM] | {"Manufacturer": "Supermicro"})

    bmc.faults.append(on("GET", SYSTEM, supermicro))

    with machine_at(bmc) as machine:
        assert machine.set_boot_source("cd")["enabled"] == "Once"

    assert bmc.boot["BootSourceOverrideTarget"] == "UsbCd"


def test_a_busy_bmc_is_asked_again_but_only_for_reads(bmc):
    busy = lambda handler: handler.answer(503, {}, Retry_After="1")  # noqa: E731 - a fault's body
    bmc.faults += [times(2, on("GET", SYSTEM, busy)), times(1, on("POST", RESET, busy))]

    with pytest.raises(Unreachable), machine_at(bmc) as machine:
        machine.ensure_power(on=True)

    assert bmc.count("POST", RESET) == 1


def in_seconds(seconds):
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("asked", "low", "high"),
    [
        ("3", 3.0, 3.0),
        ("86400", 5.0, 5.0),
        pytest.param(in_seconds(86400), 5.0, 5.0, id="tomorrow"),
        pytest.param(in_seconds(-60), 0.0, 0.0, id="a minute ago"),
        ("soon", 0.5, 0.5),
        ("-4", 0.5, 0.5),
        ("9" * 400, 5.0, 5.0),
        ("Thu, 99 Foo 2026 99:99:99 GMT", 0.5, 0.5),
    ],
    # A time in a test's name would be another in each process that collects it.
    ids=["seconds", "a-day", "tomorrow", "a-minute-ago", "words", "negative", "huge", "no-date"],
)
def test_a_busy_bmc_is_asked_again_when_it_wants_to_be_and_soon_all_the_same(bmc, asked, low, high):
    busy = lambda handler: handler.answer(503, {}, Retry_After=asked)  # noqa: E731 - a fault's body
    bmc.faults.append(times(1, on("GET", SYSTEM, busy)))
    pauses = []

    with machine_at(bmc, pause=pauses.append):
        pass

    assert low <= pauses[0] <= high
    assert bmc.count("GET", SYSTEM) == 2


def conditional(bmc, *tags):
    """Have the system's ETag be each of *tags* in turn, one a GET; the last is the true one."""
    shown = list(tags)

    def read(handler):
        tag = shown.pop(0) if len(shown) > 1 else shown[0]
        handler.answer(200, bmc.documents()[SYSTEM], ETag=tag)

    def write(handler):
        sent.append(handler.headers.get("If-Match"))
        if sent[-1] != tags[-1].removeprefix("W/"):
            handler.answer(412, {"error": {"code": "Base.1.0.PreconditionFailed"}})
            return
        bmc.boot |= handler.body["Boot"]
        handler.answer(200, {})

    sent = []
    bmc.faults += [on("GET", SYSTEM, read), on("PATCH", SYSTEM, write)]
    return sent


@pytest.mark.parametrize(
    ("tags", "sent"),
    [
        (('"1"', '"1"', '"2"'), ['"1"', '"2"']),
        (('W/"1"', 'W/"1"'), ['W/"1"', '"1"']),
        (('"2"', '"2"'), ['"2"']),
    ],
    ids=["changed", "weak", "unchanged"],
)
def test_an_old_etag_is_read_anew_and_the_write_tried_once_more(bmc, tags, sent):
    seen = conditional(bmc, *tags)

    with machine_at(bmc, system=SYSTEM) as machine:
        assert machine.set_boot_source("pxe")["enabled"] == "Once"

    assert seen == sent


def test_a_bmc_that_takes_no_etag_at_all_is_tried_once_more_and_no_oftener(bmc):
    stale = lambda handler: handler.answer(412, {"error": {"message": "changed"}})  # noqa: E731 - a fault's body
    bmc.faults.append(on("PATCH", SYSTEM, stale))
    tagged = lambda handler: handler.answer(200, bmc.documents()[SYSTEM], ETag='"1"')  # noqa: E731 - as above
    bmc.faults.append(on("GET", SYSTEM, tagged))

    with machine_at(bmc, system=SYSTEM) as machine, pytest.raises(Refused, match="412"):
        machine.set_boot_source("pxe")

    assert bmc.count("PATCH", SYSTEM) == 2


def test_a_session_that_expires_in_the_middle_is_renewed_once(bmc):
    with machine_at(bmc) as machine:
        bmc.tokens.clear()
        result = machine.ensure_power(on=True)

    assert result["power"] == "on"
    assert len(bmc.logins) == 2


def test_the_session_is_closed_at_the_end(bmc):
    with machine_at(bmc) as machine:
        machine.power()

    assert bmc.count("DELETE", f"{SESSIONS}/token-1") == 1
    assert bmc.tokens == set()


def test_the_session_is_closed_even_when_the_time_is_over(bmc):
    bmc.obeys = False

    with pytest.raises(NoEffect), machine_at(bmc) as machine:
        machine.ensure_power(on=True)

    assert bmc.tokens == set()


def test_a_wrong_password_is_sent_once_and_shown_never(bmc):
    wrong = "hunter2-hunter2"

    with pytest.raises(Refused) as caught, machine_at(bmc, password=Secret(wrong)):
        pass

    assert len(bmc.logins) == 1
    assert wrong not in str(caught.value)


def test_basic_authentication_is_used_where_there_are_no_sessions(bmc):
    def without_sessions(handler):
        handler.answer(
            200, {"Id": "r", "Name": "r", "Systems": {"@odata.id": "/redfish/v1/Systems"}}
        )

    seen = []

    def basic(handler):
        seen.append(handler.headers.get("Authorization"))
        handler.answer(200, bmc.documents()[handler.path])

    bmc.faults += [
        on("GET", "/redfish/v1/", without_sessions),
        on("GET", "/redfish/v1/Systems", basic),
        on("GET", SYSTEM, basic),
    ]

    with machine_at(bmc) as machine:
        machine.power()

    assert all(each.startswith("Basic ") for each in seen)
    assert bmc.logins == []


@pytest.mark.parametrize(
    "body", [b'{"UUID": "9a4b', b"[]", b"null", b"<html>", b'{"Boot": 7, "Actions": []}']
)
def test_nonsense_from_a_bmc_is_a_failure_that_may_pass(bmc, body):
    bmc.faults.append(on("GET", SYSTEM, lambda handler: handler.raw(200, body)))

    with pytest.raises(DriverError), machine_at(bmc, system=SYSTEM) as machine:
        machine.ensure_power(on=True)


@pytest.mark.parametrize("target", ["http://169.254.169.254/", "http://10.0.0.9/redfish/v1/"])
def test_a_redirect_elsewhere_takes_neither_token_nor_password_along(bmc, target):
    bmc.faults.append(on("GET", SYSTEM, lambda handler: handler.answer(302, {}, Location=target)))

    with pytest.raises(NotAllowed, match="another host"), machine_at(bmc, system=SYSTEM):
        pass

    assert bmc.tokens == set()


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_write_that_is_redirected_changes_nothing(bmc, method):
    away = lambda handler: handler.answer(302, {}, Location="/redfish/v1/")  # noqa: E731 - a fault's body
    bmc.faults += [on("POST", RESET, away), on("PATCH", SYSTEM, away)]
    verb = {"POST": lambda m: m.ensure_power(on=True), "PATCH": lambda m: m.set_boot_source("pxe")}

    with machine_at(bmc) as machine, pytest.raises(NotAllowed, match="redirected"):
        verb[method](machine)

    assert (bmc.power, bmc.boot["BootSourceOverrideEnabled"]) == ("Off", "Disabled")


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "169.254.1.1", "::1"])
def test_no_bmc_is_at_an_address_that_is_not_ordinary_until_its_network_is_named(
    bmc, monkeypatch, address
):
    port = bmc.url.rpartition(":")[2]
    found = [(0, socket.SOCK_STREAM, 0, "", (address, int(port)))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    named = hostile_bmc.Bmc(url=f"http://bmc.example:{port}")

    with pytest.raises(NotAllowed), machine_at(named, rules=Rules()):
        pass

    assert bmc.requests == []


def test_a_name_that_leads_to_another_address_in_mid_session_is_judged_anew(bmc, monkeypatch):
    real, port = socket.getaddrinfo, bmc.url.rpartition(":")[2]
    led_to = ["127.0.0.1"]

    def rebinding(host, *args, **kwargs):
        return real(led_to[0] if host == "bmc.example" else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    named = hostile_bmc.Bmc(url=f"http://bmc.example:{port}")

    with machine_at(named) as machine:
        led_to[0] = "169.254.169.254"
        with pytest.raises(NotAllowed, match="metadata"):
            machine.ensure_power(on=True)

    assert bmc.count("POST", RESET) == 0


@pytest.mark.parametrize(
    "act",
    [
        lambda handler: handler.raw(200, b'{"Id": "' + b"x" * 5_000_000 + b'"}'),
        lambda handler: handler.raw(200, b"[" * 200_000 + b"]" * 200_000),
    ],
    ids=["huge", "deep"],
)
def test_a_hostile_document_is_refused_logged_nowhere_and_its_session_closed(bmc, caplog, act):
    bmc.faults.append(on("GET", SYSTEM, act))

    with pytest.raises(DriverError), machine_at(bmc, system=SYSTEM):
        pass

    assert (bmc.tokens, caplog.text) == (set(), "")


def test_a_bmc_that_takes_for_ever_is_left_when_the_time_is_over(bmc):
    over = threading.Event()
    bmc.faults.append(on("GET", SYSTEM, lambda _: over.wait(30)))

    with pytest.raises(Unreachable), machine_at(bmc, system=SYSTEM, deadline=Deadline.after(0.5)):
        pass

    over.set()
    assert bmc.tokens == set()


def test_a_cut_off_answer_may_pass(bmc):
    def cut(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b'{"Id": "1"')
        handler.connection.shutdown(socket.SHUT_RDWR)

    bmc.faults.append(on("GET", SYSTEM, cut))

    with pytest.raises(Unreachable), machine_at(bmc, system=SYSTEM):
        pass


def test_a_link_to_another_host_is_not_followed(bmc):
    elsewhere = {"@odata.id": "http://127.0.0.2:1/redfish/v1/Systems"}
    bmc.extra["/redfish/v1/"] = {"Id": "r", "Name": "r", "Systems": elsewhere}

    with pytest.raises(NotAllowed, match="another host"), machine_at(bmc, username=""):
        pass


def other_node(**fields):
    return {"Id": "0", "PowerState": "On", **fields}


def test_the_system_is_chosen_by_what_it_is_and_not_by_its_place(bmc):
    first = "/redfish/v1/Systems/0"
    bmc.extra["/redfish/v1/Systems"] = {"Members": [{"@odata.id": first}, {"@odata.id": SYSTEM}]}
    bmc.extra[first] = other_node(UUID="00000000-0000-4000-8000-000000000001")

    with machine_at(bmc, identity=Identity.of({"uuid": hostile_bmc.UUID})) as machine:
        assert machine.power() == "off"


def test_the_system_is_chosen_by_its_macs_where_nothing_else_tells(bmc):
    first = "/redfish/v1/Systems/0"
    bmc.extra["/redfish/v1/Systems"] = {"Members": [{"@odata.id": first}, {"@odata.id": SYSTEM}]}
    bmc.extra[first] = other_node()

    with machine_at(bmc, identity=Identity.of({"macs": [MAC]})) as machine:
        assert machine.power() == "off"


def test_a_baseboard_that_is_off_does_not_hide_the_machine(bmc):
    first = "/redfish/v1/Systems/HGX"
    bmc.extra["/redfish/v1/Systems"] = {"Members": [{"@odata.id": first}, {"@odata.id": SYSTEM}]}
    bmc.faults.append(on("GET", first, lambda handler: handler.answer(503, {})))

    with machine_at(bmc) as machine:
        assert machine.power() == "off"


def test_a_machine_whose_system_does_not_answer_now_may_be_asked_for_again(bmc):
    first = "/redfish/v1/Systems/0"
    bmc.extra["/redfish/v1/Systems"] = {"Members": [{"@odata.id": first}, {"@odata.id": SYSTEM}]}
    bmc.extra[first] = other_node(UUID="00000000-0000-4000-8000-000000000001")
    bmc.faults.append(on("GET", SYSTEM, lambda handler: handler.answer(503, {})))

    with (
        pytest.raises(Unreachable),
        machine_at(bmc, identity=Identity.of({"uuid": hostile_bmc.UUID})),
    ):
        pass


def test_a_power_verb_reads_what_it_needs_and_nothing_twice(bmc):
    with machine_at(bmc) as machine:
        machine.ensure_power(on=True)

    asked = [f"{method} {path.rpartition('/')[2]}" for method, path in bmc.requests]
    assert asked == [
        *("GET ", "POST Sessions", "GET Systems", "GET 1"),
        *("POST ComputerSystem.Reset", "GET 1", "DELETE token-1"),
    ]


def test_two_systems_and_nothing_to_tell_them_apart_is_refused(bmc):
    first = "/redfish/v1/Systems/0"
    bmc.extra["/redfish/v1/Systems"] = {"Members": [{"@odata.id": first}, {"@odata.id": SYSTEM}]}
    bmc.extra[first] = other_node()

    with pytest.raises(NoSuchSystem, match="2 of the 2"), machine_at(bmc):
        pass


def test_another_machines_bmc_is_refused(bmc):
    other = Identity.of({"uuid": "00000000-0000-4000-8000-000000000009"})

    with pytest.raises(NoSuchSystem), machine_at(bmc, identity=other):
        pass


def test_an_inventory_is_plain_facts(bmc):
    with machine_at(bmc) as machine:
        facts = machine.inventory()

    assert facts["system"]["uuid"] == hostile_bmc.UUID
    assert facts["memory_mib"] == 512
    assert facts["processors"][0]["cores"] == 8
    assert (facts["nics"][0]["mac"], facts["nics"][0]["speed"]) == (MAC, 10000)
    disk = facts["disks"][0]
    assert (disk["serial"], disk["wwn"], disk["bytes"]) == ("S3R1AL", "5000c500ab", 10**12)
    assert (facts["health"], facts["missing"]) == ("OK", {})


def test_a_system_that_does_not_know_its_memory_is_asked_for_its_modules(bmc):
    memory = f"{SYSTEM}/Memory"
    vague = bmc.documents()[SYSTEM] | {"MemorySummary": None, "Memory": {"@odata.id": memory}}
    bmc.extra |= {
        SYSTEM: vague,
        memory: {"Members": [{"@odata.id": f"{memory}/{n}"} for n in range(2)]},
        **{f"{memory}/{n}": {"Id": str(n), "CapacityMiB": 4096} for n in range(2)},
    }

    with machine_at(bmc) as machine:
        assert machine.inventory()["memory_mib"] == 8192


def test_cards_that_only_the_chassis_knows_are_found_and_tell_the_system(bmc):
    chassis = "/redfish/v1/Chassis/1"
    adapter = f"{chassis}/NetworkAdapters/A"
    function = f"{adapter}/NetworkDeviceFunctions/1"
    without = bmc.documents()[SYSTEM] | {"Links": {"Chassis": [{"@odata.id": chassis}]}}
    del without["UUID"], without["EthernetInterfaces"], without["SerialNumber"]
    first = "/redfish/v1/Systems/0"
    bmc.extra |= {
        "/redfish/v1/Systems": {"Members": [{"@odata.id": first}, {"@odata.id": SYSTEM}]},
        first: other_node(),
        SYSTEM: without,
        chassis: {"NetworkAdapters": {"@odata.id": f"{chassis}/NetworkAdapters"}},
        f"{chassis}/NetworkAdapters": {"Members": [{"@odata.id": adapter}]},
        adapter: {"NetworkDeviceFunctions": {"@odata.id": f"{adapter}/NetworkDeviceFunctions"}},
        f"{adapter}/NetworkDeviceFunctions": {"Members": [{"@odata.id": function}]},
        function: {"Id": "1", "Ethernet": {"PermanentMACAddress": MAC.upper()}},
    }

    with machine_at(bmc, identity=Identity.of({"macs": [MAC]})) as machine:
        facts = machine.inventory()

    assert ([nic["mac"] for nic in facts["nics"]], facts["missing"]) == ([MAC], {})


def test_the_only_system_of_a_bmc_is_not_switched_where_its_cards_are_anothers(bmc):
    bmc.power = "On"
    stranger = Identity.of({"macs": ["52:54:00:99:99:99"]})

    with (
        pytest.raises(NoSuchSystem, match="is this its BMC"),
        machine_at(bmc, identity=stranger) as machine,
    ):
        machine.ensure_power(on=False)

    assert (bmc.power, bmc.count("POST", RESET)) == ("On", 0)


@pytest.mark.parametrize("links", [5, ["x"], {"Chassis": 7}, {"Chassis": [{"@odata.id": SYSTEM}]}])
def test_nonsense_where_cards_are_looked_for_tells_no_systems_apart(bmc, links):
    vague = {"Id": "1", "Links": links, "NetworkAdapters": {"@odata.id": SYSTEM}}
    members = [{"@odata.id": f"{SYSTEM}{n}"} for n in ("", "b")]
    bmc.extra |= {"/redfish/v1/Systems": {"Members": members}, SYSTEM: vague, f"{SYSTEM}b": vague}

    with pytest.raises(NoSuchSystem), machine_at(bmc, identity=Identity.of({"macs": [MAC]})):
        pass


def test_a_part_that_cannot_be_read_is_named_and_hides_no_other(bmc):
    broken = on("GET", f"{SYSTEM}/Storage", lambda handler: handler.answer(500, {}))
    bmc.faults.append(broken)

    with machine_at(bmc) as machine:
        facts = machine.inventory()

    assert facts["disks"] == []
    assert list(facts["missing"]) == ["disks"]
    assert facts["nics"][0]["mac"] == MAC


def test_every_exchange_is_told_of(bmc):
    calls = []

    with machine_at(bmc, calls=calls) as machine:
        machine.ensure_power(on=True)

    assert [(c.method, c.path, c.status) for c in calls if c.path == RESET] == [
        ("POST", RESET, 204)
    ]
    assert len(calls) == len(bmc.requests)


def test_a_bmc_that_is_not_there_may_come_back():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    gone = hostile_bmc.Bmc(url=f"http://127.0.0.1:{port}")

    with pytest.raises(Unreachable), machine_at(gone):
        pass


@pytest.fixture
def tls_bmc(tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))
    with hostile_bmc.running(tls=context) as running:
        yield running


def self_signed(folder):
    """Return the file of a key and a certificate as BMCs make their own: for no address at all."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bmc")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(issuer_name=name, subject_name=name)
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1))
    certificate = builder.sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "bmc.pem"
    path.write_bytes(key.private_bytes(pem, *plain) + certificate.public_bytes(pem))
    return path


def test_a_certificate_that_nobody_vouches_for_is_refused_before_the_password_is_sent(tls_bmc):
    with pytest.raises(Refused, match="its TLS is not accepted"), machine_at(tls_bmc):
        pass

    assert tls_bmc.requests == []


def test_a_certificate_for_another_name_is_refused_before_the_password_is_sent(tls_bmc, tmp_path):
    trusted = str(tmp_path / "bmc.pem")

    with pytest.raises(Refused, match="address mismatch"), machine_at(tls_bmc, verify=trusted):
        pass

    assert (tls_bmc.requests, tls_bmc.logins) == ([], [])


def test_a_bmc_with_its_own_certificate_works_where_that_was_allowed(tls_bmc):
    with machine_at(tls_bmc, verify=False) as machine:
        assert machine.power() == "off"


def discs(bmc):
    return [path for method, path in bmc.requests if method == "POST" and "VirtualMedia" in path]


def test_an_image_is_inserted_once_and_read_back(bmc):
    with machine_at(bmc) as machine:
        first, again = machine.insert_media(ISO), machine.insert_media(ISO)

    assert (first["changed"], again["changed"]) == (True, False)
    assert bmc.disc == {"Inserted": True, "Image": ISO}
    assert len(discs(bmc)) == 1


def test_another_image_takes_the_place_of_what_was_inserted(bmc):
    bmc.disc = {"Inserted": True, "Image": "http://images.example/old.iso"}

    with machine_at(bmc) as machine:
        machine.insert_media(ISO)

    assert bmc.disc["Image"] == ISO
    assert [path.rpartition(".")[2] for path in discs(bmc)] == ["EjectMedia", "InsertMedia"]


def test_ejecting_from_an_empty_drive_is_no_error_and_no_order(bmc):
    with machine_at(bmc) as machine:
        assert machine.eject_media() == {"image": "", "changed": False}

    assert discs(bmc) == []


def test_media_that_the_bmc_took_and_does_not_show_is_found_out(bmc):
    bmc.obeys = False

    with machine_at(bmc) as machine, pytest.raises(NoEffect, match="can it reach"):
        machine.insert_media(ISO)


@pytest.mark.parametrize("drives", [[], ["USB"]])
def test_a_bmc_without_a_virtual_cd_is_refused(bmc, drives):
    members = [{"@odata.id": f"{SYSTEM}/VirtualMedia/{each}"} for each in drives]
    bmc.extra[f"{SYSTEM}/VirtualMedia"] = {"Name": "Virtual media", "Members": members}

    with machine_at(bmc) as machine:
        with pytest.raises(Refused, match="no virtual CD"):
            machine.insert_media(ISO)
        # A release ejects what was to be inserted, and must not fail where nothing could be.
        assert machine.eject_media() == {"image": "", "changed": False}


def test_media_that_are_at_the_manager_are_found(bmc):
    media = f"{SYSTEM}/VirtualMedia"
    bmc.extra[SYSTEM] = {
        key: value for key, value in bmc.documents()[SYSTEM].items() if key != "VirtualMedia"
    } | {"Links": {"ManagedBy": [{"@odata.id": "/redfish/v1/Managers/1"}]}}
    bmc.extra["/redfish/v1/Managers/1"] = {
        "Id": "1",
        "Name": "BMC",
        "VirtualMedia": {"@odata.id": media},
    }

    with machine_at(bmc) as machine:
        machine.insert_media(ISO)

    assert bmc.disc["Image"] == ISO

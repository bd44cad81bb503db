"""The calls of the Proxmox VE installer and of a first boot, byte for byte, over real stores."""

import json
import socket
import tomllib
from contextlib import closing

import pytest

from models import bootplan, installer_calls
from models.bootplan import Access, Action
from models.installer_calls import Caller
from models.installers import Installer
from models.observations import Seen
from models.phases import Phase
from pxe_stack import run_door
from tests.models.test_installer_calls import ASKED, DMI, INSTALLED, KEY
from tests.pxe_stack import installed, make, web

HARDWARE = Caller(
    macs=("52:54:00:00:00:01", "52:54:00:00:00:02"),
    uuid=DMI["system"]["uuid"].lower(),
    serial=DMI["system"]["serial"],
)
PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEbgHHOiTBJO7UkAf3SeQTDYiSrZ"
ACCEPT = "application/json, application/toml;q=0.5"
ELSEWHERE = "127.0.0.9"


def plan(**changes):
    given = {
        "version": 2,
        "documents": tuple(installed.documents(Installer.PROXMOX).values()),
        "addressing": web.HERE,
        "caller": HARDWARE,
        "ssh_key": PUBLIC,
    }
    return make.plan(**given | changes)


PLAN = plan()


@pytest.fixture
def site(tmp_path):
    with web.serving(tmp_path) as made:
        made.stores.plans.put(PLAN)
        yield made


def call(site, method, path, body=b"", *fields, source="127.0.0.1"):
    """Return the status, the head's fields and the body that the call is answered with."""
    length = [f"Content-Length: {len(body)}"] if method == "POST" else []
    lines = [f"{method} {path} HTTP/1.1", "Host: s", "Connection: close", *length, *fields, "", ""]
    head, _, came = site.tell("\r\n".join(lines).encode() + body, source).partition(b"\r\n\r\n")
    first, *rest = head.decode().split("\r\n")
    told = dict(line.lower().split(": ", 1) for line in rest)
    return int(first.split()[1]), told, came


def ask(site, document=ASKED, *fields, source="127.0.0.1"):
    given = ("Content-Type: application/json; charset=utf-8", f"Accept: {ACCEPT}", *fields)
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return call(site, "POST", "/api/boot/answer", body, *given, source=source)


def url(of, plan=PLAN):
    """Return the path and query of a URL that the answer or the script holds."""
    return of.removeprefix(make.URL)


def answer(site):
    return json.loads(ask(site)[2])


def tell(site, path, document, source="127.0.0.1"):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return call(site, "POST", path, body, source=source)[0]


def home_url(plan=PLAN):
    token = bootplan.token(make.KEY, plan.run, Access.CALLBACK)
    return f"/api/hosts/{plan.machine}/phone-home?run={plan.run}&token={token}"


def kinds(site, *wanted):
    return [row.kind for _, row in site.stores.journal.pending(0, 1000) if row.kind in wanted]


def install(site):
    """Go as far as the end of the installation."""
    told = answer(site)
    tell(site, url(told["post-installation-webhook"]["url"]), INSTALLED)


def strangers(site):
    return [row.data["why"] for row in site.rows(Seen.STRANGE_REQUEST)]


def home(address="127.0.0.1", hardware_id="4C4C4544"):
    return {"ip": address, "hardware_id": hardware_id}


def test_the_installer_is_given_json_where_it_puts_json_first_and_toml_otherwise(site):
    status, fields, body = ask(site)
    _, other, same = call(site, "POST", "/api/boot/answer", json.dumps(ASKED).encode())

    assert (status, fields["content-type"]) == (200, "application/json")
    assert other["content-type"].startswith("application/toml")
    assert json.loads(body) == tomllib.loads(same.decode())


def test_the_answer_bears_the_runs_own_key_and_urls_and_is_written_down_first(site):
    told = answer(site)

    assert PUBLIC in told["global"]["root-ssh-keys"]
    host = f"{make.URL}/api/hosts/{PLAN.machine}"
    assert told["post-installation-webhook"]["url"].startswith(f"{host}/installed?run={PLAN.run}&")
    assert told["first-boot"]["url"].startswith(f"{host}/first-boot-script?run={PLAN.run}&")
    [row] = site.rows(Seen.ANSWER_SERVED)
    assert (row.machine, row.run) == (PLAN.machine, PLAN.run)
    assert site.stores.journal.phase(PLAN.run) is Phase.INSTALLING


@pytest.mark.parametrize(
    "document",
    [
        {"network_interfaces": [{"link": "x", "mac": "52:54:00:00:00:02"}]},
        {"network_interfaces": [{"link": "x", "mac": "52-54-00-00-00-01"}]},
        {"dmi": DMI},
        {"dmi": {"system": {"uuid": DMI["system"]["uuid"].upper()}}},
        {"dmi": {"system": {"serial": "SN-7"}}},
    ],
    ids=["another-card", "dashes", "dmi", "uuid", "serial"],
)
def test_a_host_is_found_by_any_of_its_cards_and_then_by_its_dmi(site, document):
    assert ask(site, document)[0] == 200


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"network_interfaces": [{"mac": "52:54:00:00:00:99"}]}, "unknown-caller"),
        ({}, "nameless-caller"),
        ([], "nameless-caller"),
        (b"{", "unreadable-call"),
        (b"", "unreadable-call"),
        (b"\xff\xfe", "unreadable-call"),
        (b"[" * 200_000, "unreadable-call"),
    ],
    ids=["stranger", "nobody", "list", "broken", "empty", "no-text", "deep"],
)
def test_whoever_is_not_known_is_told_that_there_is_nothing_and_written_down(site, document, why):
    status, _, body = ask(site, document)

    assert status == 404
    assert b"ssh" not in body
    assert strangers(site) == [why]


def test_another_address_than_the_hosts_gets_no_answer(site):
    assert ask(site, source=ELSEWHERE)[0] == 404

    assert strangers(site) == ["wrong-address"]
    assert site.rows(Seen.ANSWER_SERVED) == []


def test_a_token_of_ours_must_be_the_runs_own_and_others_say_nothing(site):
    right = run_door.bearer(PLAN, make.KEY)

    assert ask(site, ASKED, f"Authorization: Bearer {PLAN.run}:wrong")[0] == 404
    assert ask(site, ASKED, f"Authorization: Bearer {right}")[0] == 200
    assert ask(site, ASKED, "Authorization: Bearer lab:of-another-tool")[0] == 200


def test_a_serial_number_that_two_hosts_share_names_neither(site):
    other = make.another(9, caller=Caller(serial="SN-7"), documents=PLAN.documents)
    site.stores.plans.put(other)

    assert ask(site, {"dmi": {"system": {"serial": "SN-7"}}})[0] == 404
    assert ask(site)[0] == 200


def test_a_host_that_nothing_is_asked_of_any_more_is_not_answered(site):
    gone = plan(version=3, action=Action.LOCAL, run=None, documents=(), caller=Caller())
    site.stores.plans.put(gone)

    assert ask(site)[0] == 404
    assert ask(site, {"dmi": DMI})[0] == 404
    assert strangers(site) == ["window-closed", "unknown-caller"]


def test_an_answer_that_is_asked_for_again_is_given_and_told(site):
    first, second = ask(site), ask(site)

    assert (first[0], second[0]) == (200, 200)
    assert first[2] == second[2]
    wanted = (Seen.ANSWER_SERVED, Seen.ANSWER_REPEATED)
    assert kinds(site, *wanted) == list(wanted)


def test_an_installer_that_began_anew_gets_no_further_by_that_run(site):
    script = url(json.loads([ask(site), ask(site)][0][2])["first-boot"]["url"])

    assert site.stores.journal.phase(PLAN.run) is Phase.FAILED
    assert (ask(site)[0], call(site, "GET", script)[0]) == (404, 404)


def test_after_the_installation_there_is_no_answer(site):
    told = answer(site)
    tell(site, url(told["post-installation-webhook"]["url"]), INSTALLED)

    assert ask(site)[0] == 404


def test_the_first_boots_script_fits_and_is_for_the_host_alone(site):
    script = url(answer(site)["first-boot"]["url"])

    status, _, body = call(site, "GET", script)

    assert status == 200
    assert body.startswith(b"#!/bin/sh\n")
    assert len(body) <= installer_calls.LARGEST
    assert home_url().encode() in body
    assert call(site, "GET", script, source=ELSEWHERE)[0] == 404
    assert call(site, "GET", script.replace("token=", "token=0"))[0] == 404


def test_the_webhook_pins_the_host_keys_and_is_at_once_answered(site):
    webhook = url(answer(site)["post-installation-webhook"]["url"])

    assert tell(site, webhook, INSTALLED) == 200

    [row] = site.rows(Seen.INSTALLED)
    assert row.data["host_keys"][0] == KEY
    assert (row.data["address"], row.data["fqdn"]) == ("10.0.0.7", "pve1.lab.example")


def test_a_webhook_of_many_disks_is_taken_and_a_larger_one_refused(site):
    webhook = url(answer(site)["post-installation-webhook"]["url"])
    many = {**INSTALLED, "disks": [{"udev-properties": {"X": "y" * 1000}}] * 900}

    head = f"POST {webhook} HTTP/1.1\r\nHost: s\r\nContent-Length: {installer_calls.LARGEST + 1}"

    assert site.tell(f"{head}\r\n\r\n".encode()).startswith(b"HTTP/1.1 413 ")
    assert tell(site, webhook, many) == 200
    assert len(site.rows(Seen.INSTALLED)) == 1


def test_a_webhook_that_comes_again_is_answered_and_changes_nothing(site):
    webhook = url(answer(site)["post-installation-webhook"]["url"])

    assert [tell(site, webhook, INSTALLED) for _ in range(2)] == [200, 200]

    assert len(site.rows(Seen.INSTALLED)) == 1
    assert strangers(site) == ["repeated-callback"]


@pytest.mark.parametrize("document", [b"", b"{", [], b"[" * 100_000])
def test_a_webhook_that_cannot_be_read_is_answered_and_moves_nothing(site, document):
    webhook = url(answer(site)["post-installation-webhook"]["url"])

    assert tell(site, webhook, document) == 200

    assert site.rows(Seen.INSTALLED) == []


@pytest.mark.parametrize(
    ("name", "document", "status"), [("installed", INSTALLED, 200), ("phone-home", home(), 409)]
)
def test_a_report_before_its_turn_moves_nothing_and_comes_again_in_time(
    site, name, document, status
):
    report = home_url().replace("phone-home", name)

    early = tell(site, report, document)

    assert (early, strangers(site)) == (status, ["early-callback"])
    assert site.stores.journal.phase(PLAN.run) is Phase.PXE_READY
    install(site)
    assert tell(site, home_url(), home()) == 200
    assert kinds(site, Seen.INSTALLED, Seen.PHONED_HOME) == [Seen.INSTALLED, Seen.PHONED_HOME]


def test_a_first_boot_during_the_installation_is_none(site):
    answer(site)

    assert tell(site, home_url(), home()) == 409

    assert kinds(site, Seen.PHONED_HOME, Seen.HOME_SUSPECT) == []


def test_a_first_boot_tells_its_address_and_its_hardware(site):
    install(site)

    assert tell(site, home_url(), home()) == 200

    [row] = site.rows(Seen.PHONED_HOME)
    assert row.data == {
        "address": "127.0.0.1",
        "hardware_id": "4C4C4544",
        "client": "127.0.0.1",
    }
    assert site.stores.journal.phase(PLAN.run) is Phase.FIRST_BOOT


def test_a_system_with_another_address_than_the_plans_may_call_from_there(site):
    install(site)

    assert tell(site, home_url(), home(ELSEWHERE), source=ELSEWHERE) == 200

    assert len(site.rows(Seen.PHONED_HOME)) == 1


def test_a_first_boot_that_says_an_address_of_nobodys_is_suspect(site):
    install(site)

    assert tell(site, home_url(), home("10.9.9.9")) == 200

    assert site.rows(Seen.PHONED_HOME) == []
    [row] = site.rows(Seen.HOME_SUSPECT)
    assert "10.9.9.9" in row.data["reason"]


@pytest.mark.parametrize("document", [b"{", {"ip": "x", "hardware_id": "y"}, {"ip": "10.0.0.1"}])
def test_a_first_boot_that_cannot_say_where_it_is_is_asked_again(site, document):
    install(site)

    assert tell(site, home_url(), document) == 400

    assert kinds(site, Seen.PHONED_HOME, Seen.HOME_SUSPECT) == []


def test_reports_of_a_run_that_is_over_are_answered_and_kept_apart(site):
    late = home_url()
    site.stores.plans.put(plan(version=3, action=Action.LOCAL, run=None, documents=()))

    assert tell(site, late, home()) == 200

    assert strangers(site) == ["late-callback"]
    assert site.rows(Seen.PHONED_HOME) == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("token=", "token=0"), "wrong-token"),
        ((str(PLAN.machine), str(make.SITE)), "another-host"),
        ((f"run={PLAN.run}", "run=no-uuid"), "no-such-run"),
        (("?", "?x=1&x=1&x=1&x=1&x=1&x=1&x=1&x=1&x=1&"), "no-such-run"),
    ],
)
def test_reports_of_strangers_are_answered_and_move_nothing(site, change, why):
    assert tell(site, home_url().replace(*change), home()) == 200

    assert kinds(site, Seen.PHONED_HOME, Seen.HOME_SUSPECT) == []
    assert strangers(site) in ([why], ["late-callback"])


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/boot/answer", 405),
        ("POST", f"/api/hosts/{PLAN.machine}/first-boot-script", 405),
        ("GET", f"/api/hosts/{PLAN.machine}/installed", 405),
        ("POST", "/api/hosts", 404),
        ("POST", "/api/hosts//", 404),
        ("POST", "/api/", 404),
    ],
)
def test_there_is_nothing_else_below_api(site, method, path, status):
    assert call(site, method, path)[0] == status


def test_the_body_may_come_in_pieces(site):
    body = json.dumps(ASKED).encode()
    head = f"POST /api/boot/answer HTTP/1.1\r\nHost: s\r\nContent-Length: {len(body)}\r\n"
    with closing(socket.create_connection(("127.0.0.1", site.port), 10)) as sock:
        sock.sendall(f"{head}Connection: close\r\n\r\n".encode() + body[:10])
        sock.sendall(body[10:])

        assert web.everything(sock).startswith(b"HTTP/1.1 200 ")


def test_neither_tokens_nor_keys_are_in_what_is_written_down(site):
    told = answer(site)
    tell(site, url(told["post-installation-webhook"]["url"]), INSTALLED)
    tell(site, home_url(), home())

    rows = json.dumps([row.encode() for _, row in site.stores.journal.pending(0, 1000)])
    for access in Access:
        assert bootplan.token(make.KEY, PLAN.run, access) not in rows
    assert PUBLIC not in rows


def boots(site):
    return call(site, "GET", f"/ipxe/{PLAN.mac}")[2].decode()


@pytest.mark.parametrize(
    ("come_to", "led_on"), [(lambda _: None, True), (answer, True), (install, False)]
)
def test_a_host_that_boots_again_is_led_on_until_it_is_installed_and_then_to_its_disk(
    site, come_to, led_on
):
    come_to(site)

    script = boots(site)

    assert ("/boot/" in script, "exit" in script) == (led_on, True)


def test_a_host_that_nothing_is_asked_of_starts_its_disk(site):
    site.stores.plans.put(plan(version=3, action=Action.LOCAL, run=None, documents=()))

    script = boots(site)

    assert ("/boot/" in script, "exit" in script) == (False, True)

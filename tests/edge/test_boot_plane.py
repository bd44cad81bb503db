"""Machines that ask the edge for what their site serves: they are sent there, and told no more."""

from uuid import UUID, uuid4

import pytest

from models import installer_calls
from models.bootplan import Action, Addressing, BootPlan
from models.commands import runs
from models.database import borrowed
from models.installer_calls import Caller
from models.tables import Machine
from tests.models import make
from tests.models.test_installer_calls import ASKED, DMI, INSTALLED

pytestmark = pytest.mark.services

BOOT = "http://10.77.0.1:8081"
SERIAL = DMI["system"]["serial"]


def planned(machine_id, mac, **changes):
    """Give a machine a boot plan, as control does."""
    machine = Machine.get_by_id(machine_id)
    given = {
        "machine": machine.id,
        "site": machine.site_id,
        "hostname": machine.hostname,
        "mac": mac,
        "version": machine.plan_version + 1,
        "action": Action.LOCAL,
        "addressing": Addressing(address="10.77.0.10", prefix_length=24),
        "boot_base_url": BOOT,
    }
    runs.publish(machine, BootPlan(**given | changes))
    return machine.id


@pytest.fixture
def host(app, db):
    with borrowed():
        site = make.site()
        cards = [make.interface(), make.interface("52:54:00:00:00:02", "eth1", pxe=False)]
        caller = Caller(uuid=DMI["system"]["uuid"].lower(), serial=SERIAL)
        return planned(make.machine(site, interfaces=cards), make.MAC, caller=caller)


@pytest.fixture
def anybody(app):
    return app.test_client()


@pytest.mark.parametrize("name", ["installed", "phone-home"])
def test_a_report_is_sent_on_with_its_token_and_its_method(anybody, host, name):
    sent = anybody.post(f"/api/hosts/{host}/{name}?run=r&token=t", json=INSTALLED)

    assert sent.status_code == 307
    assert sent.headers["Location"] == f"{BOOT}/api/hosts/{host}/{name}?run=r&token=t"


def test_a_first_boots_script_and_a_boot_script_are_fetched_at_the_site(anybody, host):
    script = anybody.get(f"/api/hosts/{host}/first-boot-script?run=r&token=t")
    loader = anybody.get("/ipxe/52-54-00-00-00-01")

    path = f"/api/hosts/{host}/first-boot-script?run=r&token=t"
    assert (script.status_code, script.headers["Location"]) == (307, f"{BOOT}{path}")
    assert (loader.status_code, loader.headers["Location"]) == (
        307,
        f"{BOOT}/ipxe/52-54-00-00-00-01",
    )


@pytest.mark.parametrize(
    "document",
    [
        ASKED,
        {"network_interfaces": [{"mac": "52:54:00:00:00:02"}]},
        {"dmi": {"system": {"uuid": DMI["system"]["uuid"]}}},
        {"dmi": {"system": {"serial": SERIAL}}},
    ],
)
def test_an_installer_is_sent_to_its_answer_by_any_of_its_names(anybody, host, document):
    sent = anybody.post("/api/boot/answer", json=document)

    assert (sent.status_code, sent.headers["Location"]) == (307, f"{BOOT}/api/boot/answer")


def test_a_name_that_two_hosts_share_leads_nowhere(anybody, host):
    with borrowed():
        site = Machine.get_by_id(host).site_id
        other = make.machine(site, "node-02", [make.interface("52:54:00:00:00:09")])
        planned(other, "52:54:00:00:00:09", caller=Caller(serial=SERIAL))

    assert (
        anybody.post("/api/boot/answer", json={"dmi": {"system": {"serial": SERIAL}}}).status_code
        == 404
    )
    assert anybody.post("/api/boot/answer", json=ASKED).status_code == 307


@pytest.mark.parametrize(
    ("asked", "body", "status"),
    [
        (("GET", "/ipxe/52:54:00:00:00:99"), b"", 404),
        (("GET", "/ipxe/no-mac"), b"", 422),
        (("GET", f"/api/hosts/{uuid4()}/first-boot-script"), b"", 404),
        (("GET", "/api/hosts/no-id/first-boot-script"), b"", 422),
        (("POST", "/api/hosts/no-id/installed"), b"{}", 422),
        (("POST", "/api/boot/answer"), b"{", 400),
        (("POST", "/api/boot/answer"), b"[" * 100_000, 400),
        (("POST", "/api/boot/answer"), b"\xff", 400),
        (("POST", "/api/boot/answer"), b"{}", 422),
        (("POST", "/api/boot/answer"), b'{"dmi": {"system": {"serial": "X9"}}}', 404),
        (("GET", "/api/boot/answer"), b"", 401),
    ],
)
def test_whoever_is_not_known_is_told_nothing(anybody, host, asked, body, status):
    method, path = asked
    answer = anybody.open(path, method=method, data=body)

    assert answer.status_code == status
    assert "10.77" not in answer.text
    assert UUID(str(host)).hex not in answer.text


@pytest.mark.parametrize("name", ["installed", "phone-home"])
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"ip": "10.0.0.7"}', b"\xff"])
def test_a_report_of_a_host_that_nobody_knows_is_answered_and_written_down(
    anybody, host, capsys, name, body
):
    sent = anybody.post(f"/api/hosts/{uuid4()}/{name}?run=r&token=hidden", data=body)

    said = capsys.readouterr().out
    assert (sent.status_code, sent.data, sent.mimetype) == (200, b"ok\n", "text/plain")
    assert "boot-plane.strange" in said
    assert "hidden" not in said


def test_what_the_contract_shows_of_calls_is_what_sites_read(app):
    paths = app.api_doc["paths"]

    def shown(path):
        return paths[path]["post"]["requestBody"]["content"]["application/json"]["example"]

    assert installer_calls.asked(shown("/api/boot/answer")).macs
    assert installer_calls.installed(shown("/api/hosts/{host}/installed")).host_keys
    assert installer_calls.home(shown("/api/hosts/{host}/phone-home")).address == "10.0.0.7"

"""The BMC over HTTP, with sushy as the client that was not written for it."""

import http.client
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import sushy
from sushy.auth import BasicAuth, SessionAuth

from deploy.rack.emulator import Place
from deploy.rack.machine import Machine
from deploy.rack.redfish import shapes
from deploy.rack.redfish.endpoint import HOST, Endpoints, is_free
from deploy.rack.redfish.service import Credentials, Service
from deploy.rack.simulated.front import Fronts
from deploy.rack.simulated.writes import Writes
from tests.deploy.simulated_lab import Looped
from tests.deploy.test_rack_rules import unit

pytestmark = pytest.mark.services


@pytest.fixture
def machine(tmp_path):
    machine = Machine(unit(), Place(tmp_path / "r1", namespace="none", tap="r1"))
    yield machine
    machine.close()


@pytest.fixture(params=["threads", "loop"])
def port(request, machine, tmp_path):
    """Each way that a BMC is served: the virtual rack's, and the simulated one's."""
    service = Service(machine, Credentials("admin", "secret"))
    if request.param == "threads":
        endpoints = Endpoints([service], [0])
        yield endpoints.ports[0]
        endpoints.close()
        return
    looped, log = Looped(), Writes(tmp_path / "writes")
    fronts = looped.wait(Fronts.open([(service, (HOST, 0))], log))
    yield fronts.ports[0]
    looped.call(fronts.close)
    looped.close()
    log.close()


@pytest.fixture(params=[BasicAuth, SessionAuth])
def root(request, port):
    with request.param("admin", "secret") as auth:  # sushy's own end would retry for 27 s
        root = sushy.Sushy(f"http://{HOST}:{port}", auth=auth)
        yield root
    root._conn._session.close()


@pytest.fixture
def connection(port):
    connection = http.client.HTTPConnection(HOST, port, timeout=60)
    yield connection
    connection.close()


def test_the_inventory_is_what_the_machine_is_made_of(root):
    expected = unit()
    [system] = root.get_system_collection().get_members()

    assert (system.uuid, system.serial_number) == (str(expected.uuid), expected.serial)
    assert system.memory_summary.size_gib == 1
    assert [cpu.total_cores for cpu in system.processors.get_members()] == [1]
    [nic] = system.ethernet_interfaces.get_members()
    assert nic.mac_address.lower() == expected.mac
    [storage] = system.storage.get_members()
    [drive] = storage.drives
    assert (drive.serial_number, drive.capacity_bytes) == (expected.disk.serial, 1 << 32)
    assert system.status.health is sushy.Health.OK


def test_everything_around_the_system_is_found_from_it(root):
    [system] = root.get_system_collection().get_members()

    [manager], [chassis] = system.managers, system.chassis
    assert manager.manager_type is sushy.ManagerType.BMC
    assert chassis.power_state is sushy.PowerState.OFF
    assert [each.uuid for each in manager.systems] == [system.uuid]


def test_a_boot_override_is_set_and_read_back(root):
    [system] = root.get_system_collection().get_members()

    system.set_system_boot_options(
        target=sushy.BootSource.PXE, enabled=sushy.BootSourceOverrideEnabled.ONCE
    )

    system.refresh(force=True)
    assert system.boot.target is sushy.BootSource.PXE
    assert system.boot.enabled is sushy.BootSourceOverrideEnabled.ONCE
    assert system.boot.mode is sushy.BootSourceOverrideMode.LEGACY


def test_a_wrong_password_is_an_access_error(port):
    auth = BasicAuth("admin", "guessed")
    root = sushy.Sushy(f"http://{HOST}:{port}", auth=auth)
    with pytest.raises(sushy.exceptions.AccessError):
        root.get_system_collection()
    root._conn._session.close()


def test_a_connection_is_kept_for_the_next_request(connection):
    for _ in range(3):
        connection.request("GET", "/redfish/v1/")
        response = connection.getresponse()
        assert (response.status, response.will_close) == (200, False)
        assert json.loads(response.read())["RedfishVersion"]


def test_a_client_that_wants_the_connection_closed_is_told_so(connection):
    connection.request("GET", "/redfish/v1/", headers={"Connection": "close"})

    with connection.getresponse() as response:
        assert response.getheader("Connection") == "close"


def test_head_is_get_without_the_body(connection):
    connection.request("HEAD", "/redfish/v1/")

    with connection.getresponse() as response:
        assert (response.status, response.read()) == (200, b"")
        assert int(response.getheader("Content-Length")) > 100


@pytest.mark.parametrize("length", [str(1 << 20), "-1", "ten"])
def test_a_body_without_a_sane_length_is_refused_unread(connection, length):
    connection.putrequest("POST", shapes.SESSIONS)
    connection.putheader("Content-Length", length)
    connection.endheaders()

    with connection.getresponse() as response:
        assert (response.status, response.will_close) == (413, True)


def test_many_clients_at_once_are_all_answered(port):
    def statuses(_):
        connection = http.client.HTTPConnection(HOST, port, timeout=30)
        try:
            connection.request("GET", "/redfish/v1")
            return connection.getresponse().status
        finally:
            connection.close()

    with ThreadPoolExecutor(50) as clients:
        assert list(clients.map(statuses, range(200))) == [200] * 200


def test_closing_ends_the_connections_that_clients_keep(machine):
    endpoints = Endpoints([Service(machine, Credentials("admin", "secret"))], [0])
    [port] = endpoints.ports
    kept = http.client.HTTPConnection(HOST, port, timeout=60)
    kept.request("GET", "/redfish/v1")
    kept.getresponse().read()

    endpoints.close()

    assert kept.sock.recv(1) == b""
    kept.close()
    assert is_free(port)


def test_a_port_that_is_taken_is_named(machine, port):
    with pytest.raises(OSError, match=f"BMC port {port}"):
        Endpoints([Service(machine, Credentials("admin", "secret"))], [port])


def test_what_is_missing_is_named_with_the_line_that_installs_it(tmp_path):
    checked = subprocess.run(
        [sys.executable, "-m", "deploy.rack", "check", "--firmware", "uefi", "--json"],
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        check=False,
        text=True,
    )

    report = json.loads(checked.stdout)
    missing = {each["what"]: each["package"] for each in report["missing"]}
    assert checked.returncode == 1
    assert not report["ready"]
    assert missing["qemu-system-x86_64"] == "qemu-system-x86"
    assert report["apt"].startswith("apt-get install -y --no-install-recommends iproute2 ")
    assert report["apt"] in report["do"]


def test_a_rack_that_cannot_run_says_so_and_makes_nothing(tmp_path):
    tried = subprocess.run(
        [sys.executable, "-m", "deploy.rack", "up", "--state", tmp_path / "rack"],
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        check=False,
        text=True,
    )

    assert tried.returncode == 1
    assert "missing: ip\n" in tried.stderr
    assert not (tmp_path / "rack").exists()

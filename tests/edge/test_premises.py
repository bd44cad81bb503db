"""`sprout up --config FILE`: variables, the admin's password, the site; the environment wins."""

import os

import pytest
import typer

from config import provisioning
from config.settings import Settings
from edge import passwords
from edge.cli import premises
from tests.services import from_file, process
from tests.services.from_file import write


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """No variable of Sprout's, and none that is left when the test ends."""
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)
    for name in [name for name in before if name.startswith("SPROUT_")]:
        del os.environ[name]
    yield
    os.environ.clear()
    os.environ.update(before)


def test_the_environment_wins_over_the_file_and_so_does_env_in_the_folder(alone, tmp_path):
    os.environ.update({"SPROUT_BIND": "127.0.0.1:1", "SPROUT_SITE_ID": ""})
    (tmp_path / ".env").write_text("SPROUT_API_URL=http://elsewhere\n")

    premises.take_over(
        {"SPROUT_BIND": "0.0.0.0:8080", "SPROUT_SITE_ID": "home", "SPROUT_API_URL": "http://x"}
    )

    assert os.environ["SPROUT_BIND"] == "127.0.0.1:1"
    assert os.environ["SPROUT_SITE_ID"] == "home"
    assert "SPROUT_API_URL" not in os.environ


def test_a_bad_file_starts_nothing_and_is_told(alone, tmp_path, capsys):
    file = write(tmp_path)
    file.write_text(file.read_text().replace("enabled: false", "enabled: off-ish"))

    with pytest.raises(typer.Exit) as caught:
        premises.prepared(file)

    assert caught.value.exit_code == 2
    assert "provisioning.yaml:6: pxe.enabled: " in capsys.readouterr().err
    assert not (tmp_path / "state").exists()


def test_a_network_card_that_is_not_here_starts_nothing_unless_another_is_said(
    alone, tmp_path, capsys
):
    file = write(tmp_path)
    file.write_text(file.read_text().replace("enabled: false", "enabled: true\n  interface: nic7"))

    with pytest.raises(typer.Exit) as caught:
        premises.prepared(file)
    os.environ["SPROUT_DHCP_BIND_INTERFACE"] = "lo"
    premises.prepared(file)

    told = capsys.readouterr().err.splitlines()
    assert caught.value.exit_code == 2
    assert told[0].startswith(
        f"{file}:7: pxe.interface: there is no network card nic7 here. One of"
    )


def test_the_admins_password_is_made_and_shown_once(alone, tmp_path, monkeypatch, capsys):
    file = write(tmp_path)

    premises.prepared(file)
    told, kept = capsys.readouterr().err, os.environ["SPROUT_ADMIN_PASSWORD_HASH"]
    del os.environ["SPROUT_ADMIN_PASSWORD_HASH"]
    premises.prepared(file)

    assert passwords.right(told.split()[-1], kept)
    assert os.environ["SPROUT_ADMIN_PASSWORD_HASH"] == kept
    assert capsys.readouterr().err == ""
    assert told.split()[-1] not in (tmp_path / "state" / "secrets.json").read_text()


@pytest.mark.parametrize(("enabled", "mode"), [("true", "proxy"), ("false", "off")])
def test_the_lan_is_a_network_whose_addresses_are_another_servers(enabled, mode):
    told = provisioning.parsed(
        {
            "server": {"public_url": "http://x"},
            "pxe": {"enabled": enabled, "interface": "eth0", "subnet": "10.1.0.0/30"},
            "credentials": {"root_password_hash": "$6$a$b"},
        }
    )

    assert premises.lan(told) == {
        "name": "lan",
        "cidr": "10.1.0.0/30",
        "rangeStart": "10.1.0.1",
        "rangeEnd": "10.1.0.2",
        "dhcpMode": mode,
    }


SERVED = [
    ("http://192.168.1.5:8080", {}, "http://192.168.1.5:8099"),
    ("https://sprout.example", {}, "http://sprout.example:8099"),
    ("http://[fd00::5]:8080", {}, "http://[fd00::5]:8099"),
    ("http://192.168.1.5:8080", {"SPROUT_BOOT_BIND_ADDR": "127.0.0.1"}, None),
    ("http://192.168.1.5:8080", {"SPROUT_BOOT_ADVERTISE_URL": "http://boot"}, None),
]


@pytest.mark.parametrize(("url", "variables", "served"), SERVED)
def test_without_pxe_hosts_are_served_at_the_host_of_the_public_url(alone, url, variables, served):
    os.environ.update({"SPROUT_BOOT_PORT": "8099", **variables})
    told = {
        "server": {"public_url": url},
        "pxe": {"enabled": False},
        "credentials": {"root_password_hash": "$6$a$b"},
    }

    found = premises.served_at(Settings.load(), provisioning.parsed(told))

    assert found.get("SPROUT_BOOT_ADVERTISE_URL") == served


@pytest.mark.services
@pytest.mark.timeout(300)
def test_the_product_runs_from_the_file_and_takes_hosts(tmp_path):
    with from_file.running(tmp_path) as api:
        process.wait_until_ready(api.process, api.welcomes, api.log, seconds=120)
        host = {"hostname": "pve-01", "mac": "52:54:00:aa:00:01", "server_type": "ms-01"}
        made = api.post("/api/hosts", host)
        networks = api.get("/v1/networks").json()["items"]
        health = api.get("/readyz").json()["checks"]["serverTypes"]

    assert (made.status_code, made.json()["site"]) == (201, "home")
    assert [(each["cidr"], each["dhcpMode"]) for each in networks] == [("192.168.77.0/24", "off")]
    assert health == {"ok": True, "detail": "1 are in force"}
    assert "the admin's password, which is shown once: " in api.log.read_text()
    assert f"register a host at {api.url}" in api.log.read_text()

"""provisioning.yaml: read strictly, each fault at its line, and what it says as variables."""

from pathlib import Path

import pytest
import yaml

from config import provisioning
from config.hosting import Hosting
from config.policy import read
from config.settings import Settings, variable

EXAMPLE = Path(__file__).parents[2] / "deploy" / "provisioning.example.yaml"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEbgHHOiTBJO7UkAf3SeQTDYiSrZ root@pve"
FINGERPRINT = ":".join(["ab"] * 32)
GOOD = {
    "server": {"public_url": "http://192.168.1.5:8080/"},
    "pxe": {"enabled": "true", "interface": "eth0", "subnet": "192.168.1.0/24"},
    "credentials": {"root_password_hash": "$6$salt$hash"},
}


def written(path, document):
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


def changed(place, value):
    """Return a good document in which *value* stands at *place*."""
    section, _, key = place.partition(".")
    return GOOD | {section: GOOD.get(section, {}) | {key: value} if key else value}


def keys(model, within=""):
    for name, field in model.model_fields.items():
        kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
        parts = [kind for kind in kinds if provisioning._is_part(kind)]
        yield from keys(parts[0], f"{name}.") if parts else [f"{within}{name}"]


def test_the_example_is_good_and_names_every_key():
    text = EXAMPLE.read_text()
    document = read(EXAMPLE)

    assert provisioning.found(document, EXAMPLE) == []
    for key in keys(provisioning.Provisioning):
        assert f"{key.rpartition('.')[2]}:" in text, key


def test_every_key_of_the_notes_is_known():
    noted = {
        *("server.public_url", "pxe.enabled", "pxe.interface", "pxe.subnet"),
        *("proxmox.existing_node", "proxmox.join_fingerprint", "credentials.root_password_hash"),
        *("infrastructure.base_url", "infrastructure.server_type_map"),
    }

    assert noted <= set(keys(provisioning.Provisioning))


@pytest.mark.parametrize(
    ("place", "value", "line", "words"),
    [
        ("server.public_url", "", 2, "must not be empty"),
        ("server.public_url", "ftp://x", 2, "http:// or https://"),
        ("server.public_urls", "http://x", 3, "no such key"),
        ("server.bind", "8080", 3, "address:port"),
        ("server.admin_password_hash", "hunter2", 3, "pattern"),
        ("pxe.enabled", "perhaps", 4, "neither true nor false"),
        ("pxe.interface", "eth0; reboot", 5, "pattern"),
        ("pxe.interface", "", 3, "enabled wants an interface"),
        ("pxe.subnet", "192.168.1.7/24", 6, "not a valid IPv4 network"),
        ("pxe.subnet", "192.168.1.0/31", 6, "room for hosts"),
        ("pxe", "eth0", 3, "valid dictionary"),
        ("credentials.root_password_hash", "hunter2", 8, "mkpasswd"),
        ("credentials.ssh_public_key", "ssh-rsa", 9, "no such key"),
        ("proxmox", {"join_fingerprint": FINGERPRINT}, 9, "join_fingerprint wants it too"),
        ("proxmox", {"cluster": "home"}, 9, "cluster wants it too"),
        ("proxmox", {"join_fingerprint": "ab:cd"}, 10, "32 bytes"),
        ("proxmox", {"existing_node": "pve;x", "join_fingerprint": FINGERPRINT}, 10, "host name"),
        ("proxmox", {"cluster": "my home"}, 10, "up to 15 letters"),
        ("proxmox", {"password": "hunter2-itself"}, 10, "env:NAME"),
        ("proxmox", {"node_keys": ["-----BEGIN"]}, 10, "ssh_host_"),
        ("infrastructure", {"server_type_map": {"ms-01": ""}}, 11, "at least 1 character"),
        ("infrastructure", {"server_type_map": {"MS 01": "7"}}, 11, "pattern"),
        ("site", "Not A Slug", 9, "pattern"),
    ],
)
def test_a_fault_is_told_at_its_line_with_a_cure(tmp_path, place, value, line, words):
    path = written(tmp_path / "p.yaml", changed(place, value))

    (fault,) = provisioning.found(read(path), path)

    assert (fault.line, words in fault.what) == (line, True), fault
    assert fault.place.startswith(place.partition(".")[0])
    assert fault.cure.endswith((".", "?"))


def test_a_node_to_join_by_wants_all_that_a_join_needs_each_at_its_place(tmp_path):
    said = {"existing_node": "pve", "node_keys": [], "ssh_key": ""}
    path = written(tmp_path / "p.yaml", changed("proxmox", said))

    faults = provisioning.found(read(path), path)

    assert [(fault.line, fault.place, fault.cure[:7]) for fault in faults] == [
        (9, "proxmox.cluster", "Add it."),
        (9, "proxmox.join_fingerprint", "Add it."),
        (11, "proxmox.node_keys", "Add it."),
        (12, "proxmox.ssh_key", "Add it."),
    ]
    assert {fault.what for fault in faults} == {"existing_node wants it too"}
    assert "32 bytes" in faults[1].cure


def test_all_faults_are_told_at_once_and_no_value(tmp_path):
    secret = "hunter2-is-no-hash"
    path = written(
        tmp_path / "p.yaml", {"server": {}, "credentials": {"root_password_hash": secret}}
    )

    faults = provisioning.found(read(path), path)

    places = [fault.place for fault in faults]
    assert places == ["pxe", "server.public_url", "credentials.root_password_hash"]
    assert secret not in str(faults)


@pytest.mark.parametrize("text", ["", "[]", "server"])
def test_what_is_no_such_document_is_told_and_ends_nothing(tmp_path, text):
    path = tmp_path / "p.yaml"
    path.write_text(text)

    assert provisioning.found(read(path), path)


def test_what_is_said_is_said_by_variables_and_paths_are_relative_to_the_file():
    document = changed("server.data_dir", "state") | {
        "proxmox": {
            "cluster": "home",
            "existing_node": "pve",
            "join_fingerprint": FINGERPRINT,
            "node_keys": [KEY, KEY],
            "password": "env:PVE",
            "ssh_key": "vault:kv/pve#key",
        },
        "infrastructure": {
            "base_url": "http://infra/",
            "token": "env:INFRA",
            "server_type_map": {"ms-01": "7"},
        },
        "server_types": "kinds/types.yaml",
    }

    said = provisioning.parsed(document).variables(Path("/opt/provisioning"))

    assert said == {
        "SPROUT_API_URL": "http://192.168.1.5:8080",
        "SPROUT_BIND": "0.0.0.0:8080",
        "SPROUT_ALLOWED_HOSTS": "localhost,127.0.0.1,[::1],192.168.1.5",
        "SPROUT_DATA_DIR": "/opt/provisioning/state",
        "SPROUT_DHCP_BIND_INTERFACE": "eth0",
        "SPROUT_SITE_ID": "home",
        "SPROUT_SERVER_TYPES_FILE": "/opt/provisioning/kinds/types.yaml",
        "SPROUT_PROXMOX_CLUSTER": "home",
        "SPROUT_PROXMOX_NODE_KEYS": f"{KEY};{KEY}",
        "SPROUT_PROXMOX_PASSWORD": "env:PVE",
        "SPROUT_PROXMOX_SSH_KEY": "vault:kv/pve#key",
        "SPROUT_INFRASTRUCTURE_TOKEN": "env:INFRA",
        "SPROUT_PROXMOX_EXISTING_NODE": "pve",
        "SPROUT_PROXMOX_JOIN_FINGERPRINT": FINGERPRINT.upper(),
        "SPROUT_PROXMOX_ROOT_PASSWORD_HASH": "$6$salt$hash",
        "SPROUT_INFRASTRUCTURE_URL": "http://infra",
        "SPROUT_INFRASTRUCTURE_SERVER_TYPE_MAP": "ms-01=7",
    }
    assert said.keys() <= {variable(field) for field in Settings.model_fields}
    assert {variable(field) for field in Hosting.__annotations__} <= said.keys()


def test_without_pxe_no_interface_is_listened_on():
    told = provisioning.parsed(GOOD | {"pxe": {"enabled": "false", "interface": "eth0"}})

    assert "SPROUT_DHCP_BIND_INTERFACE" not in told.variables(Path("/"))


def test_settings_take_what_the_file_says(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name, text in provisioning.parsed(GOOD).variables(tmp_path).items():
        monkeypatch.setenv(name, text)

    settings = Settings.load()

    assert settings.server_types_file == tmp_path / "server-types.yaml"
    assert settings.proxmox_root_password_hash.get_secret_value() == "$6$salt$hash"
    assert "$6$salt" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SPROUT_PROXMOX_PASSWORD", "hunter2"),
        ("SPROUT_PROXMOX_NODE_KEYS", "hunter2"),
        ("SPROUT_PROXMOX_JOIN_FINGERPRINT", "ab:cd"),
        ("SPROUT_PROXMOX_ROOT_PASSWORD_HASH", "hunter2"),
        ("SPROUT_PROXMOX_EXISTING_NODE", "a b"),
        ("SPROUT_INFRASTRUCTURE_SERVER_TYPE_MAP", "ms-01"),
        ("SPROUT_INFRASTRUCTURE_SERVER_TYPE_MAP", "a=1,a=2"),
    ],
)
def test_a_variable_that_is_wrong_is_named_and_its_value_is_not(monkeypatch, tmp_path, name, text):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(name, text)

    with pytest.raises(Exception, match=name) as caught:
        Settings.load()

    assert "hunter2" not in str(caught.value)


def test_settings_say_what_hosts_join_and_who_is_told_of_them(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    nothing = Settings.load()
    for name, text in {
        "SPROUT_PROXMOX_CLUSTER": "home",
        "SPROUT_PROXMOX_NODE_KEYS": KEY,
        "SPROUT_INFRASTRUCTURE_URL": "https://infra.example",
        "SPROUT_INFRASTRUCTURE_SERVER_TYPE_MAP": "ms-01=7, um790=x=y",
    }.items():
        monkeypatch.setenv(name, text)

    settings = Settings.load()

    assert (nothing.cluster(), nothing.infrastructure(), nothing.of_hosts()) == (None, None, ())
    assert settings.of_hosts() == ("cluster", "infrastructure")
    assert (settings.cluster().name, settings.cluster().member_keys) == ("home", (KEY,))
    assert settings.infrastructure().server_types == {"ms-01": "7", "um790": "x=y"}

"""What is served to installers, in the eyes of their own tools: cloud-init, debconf, shells."""

import subprocess
from typing import Any, Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from models.installers import Installer
from tests.pxe_stack.installed import ORDER, filled, order

pytestmark = pytest.mark.services

UBUNTU, DEBIAN = Installer.AUTOINSTALL, Installer.PRESEED
PROFILES = {
    "plain": "",
    "full": (
        "package_update: true\npackages: [jq, vim]\nwrite_files:\n"
        "- {path: /etc/motd, content: 'of {{ fqdn }}', permissions: '0644'}\n"
        "runcmd: [[touch, /x], 'echo \"a: b\" || true']\ntimezone: Europe/Amsterdam\n"
        "users: [default, {name: ada, groups: sudo, lock_passwd: true}]\n"
    ),
}


def told(*command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)


def debconf(folder, text: str) -> subprocess.CompletedProcess[str]:
    """Have debconf judge *text* over databases of its own: the system's may be locked just now."""
    stores = ("config", "templates")
    own = "".join(f"Name: {s}\nDriver: File\nFilename: {folder / s}.dat\n\n" for s in stores)
    (folder / "debconf.conf").write_text(f"Config: config\nTemplates: templates\n\n{own}")
    with_own = ("env", f"DEBCONF_SYSTEMRC={folder / 'debconf.conf'}")
    return told(*with_own, "debconf-set-selections", "--checkonly", stdin=text)


def accepted_by_cloud_init(folder, text: str) -> str:
    """Return what cloud-init's own schema has against *text*."""
    path = folder / "user-data"
    path.write_text(text)
    done = told("cloud-init", "schema", "--config-file", str(path))
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_cloud_init_finds_nothing_wrong_with_what_an_installed_ubuntu_is_told(tmp_path, profile):
    made = yaml.safe_load(filled(UBUNTU, "seed/user-data", order(profile)))

    system = f"#cloud-config\n{yaml.safe_dump(made['autoinstall']['user-data'])}"

    assert accepted_by_cloud_init(tmp_path, system) == ""


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_cloud_init_finds_nothing_wrong_with_what_an_installed_debian_is_told(tmp_path, profile):
    assert accepted_by_cloud_init(tmp_path, filled(DEBIAN, "seed/user-data", order(profile))) == ""


def test_cloud_init_would_have_said_so(tmp_path):
    assert "runcmd" in accepted_by_cloud_init(tmp_path, "#cloud-config\nruncmd: 7\n")


class Strict(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, alias_generator=lambda n: n.replace("_", "-")
    )


class Match(Strict):
    macaddress: str


class Ethernet(Strict):
    match: Match
    addresses: list[str]
    routes: list[dict[str, str]] = Field(default_factory=list)
    nameservers: dict[str, list[str]] = Field(default_factory=dict)


class Network(Strict):
    version: Literal[2]
    ethernets: dict[str, Ethernet]


class Identity(Strict):
    hostname: str
    username: str
    password: str


class Ssh(Strict):
    install_server: bool
    allow_pw: bool
    authorized_keys: list[str]


class Layout(Strict):
    name: Literal["direct", "lvm", "zfs"]
    match: dict[Literal["path", "serial", "size", "ssd", "model", "vendor", "id_path"], str]


class Storage(Strict):
    layout: Layout


class Autoinstall(Strict):
    """By Ubuntu's reference manual, of version 1: what Sprout writes of it, and no other key."""

    version: Literal[1]
    locale: str
    keyboard: dict[Literal["layout", "variant", "toggle"], str]
    identity: Identity
    ssh: Ssh
    network: Network
    storage: Storage
    early_commands: list[str | list[str]]
    late_commands: list[str | list[str]]
    error_commands: list[str | list[str]]
    user_data: dict[str, Any]
    shutdown: Literal["reboot", "poweroff"]


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_an_autoinstall_is_what_the_reference_manual_says(profile):
    made = yaml.safe_load(filled(UBUNTU, "seed/user-data", order(profile)))

    assert made.keys() == {"autoinstall"}
    TypeAdapter(Autoinstall).validate_python(made["autoinstall"])


@pytest.mark.parametrize(
    "profile", ["", "preseed: |\n  d-i time/zone string Europe/Amsterdam\n  tasksel a/b select c\n"]
)
def test_debconf_finds_nothing_wrong_with_a_preseed(tmp_path, profile):
    text = filled(DEBIAN, "seed/preseed.cfg", order(profile))

    done = debconf(tmp_path, text)

    assert (done.returncode, done.stderr) == (0, "")


def test_debconf_would_have_said_so(tmp_path):
    assert "line 1" in debconf(tmp_path, "d-i a/b\n").stderr


@pytest.mark.parametrize(
    "name",
    [(UBUNTU, "seed/installer"), (DEBIAN, "seed/installer"), (DEBIAN, "seed/debian")],
    ids=str,
)
def test_what_an_installer_runs_as_root_passes_shellcheck(tmp_path, name):
    script = tmp_path / "script"
    script.write_text(filled(*name))

    done = told("shellcheck", "--shell=dash", str(script))

    assert done.stdout == ""


def test_the_early_commands_of_an_autoinstall_name_the_disk_in_it(tmp_path):
    """As Ubuntu's installer does: it writes its autoinstall down, and reads it again afterwards."""
    script = tmp_path / "installer"
    script.write_text(filled(UBUNTU, "seed/installer", ORDER))
    config = tmp_path / "autoinstall.yaml"
    config.write_text(filled(UBUNTU, "seed/user-data"))
    found = (
        f'disks() {{ echo sdq; }}; matching_disks() {{ echo sdq; }}; main autoinstall "{config}"'
    )
    text = script.read_text().replace('main "$@"', found)

    done = told("sh", "-c", text)

    assert done.returncode == 0, done.stderr
    made = yaml.safe_load(config.read_text())["autoinstall"]
    assert made["storage"]["layout"]["match"] == {"path": "/dev/sdq"}


@pytest.mark.parametrize(
    ("matching", "why"), [("", "no disk matches"), ("sda; echo sdb", "more than one disk matches")]
)
def test_a_disk_that_is_not_exactly_one_stops_the_installer_with_the_reason(matching, why):
    found = f'matching_disks() {{ echo {matching}; }}; told() {{ echo "$2"; }}; sleep() {{ :; }}'
    text = filled(UBUNTU, "seed/installer").replace(
        'main "$@"', f"{found}; main autoinstall /nothing"
    )

    done = told("sh", "-c", text)

    assert done.returncode == 1
    assert f"stage=disk&reason={why.replace(' ', '+')}+serial+'S1'" in done.stdout

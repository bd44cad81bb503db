"""deploy/install.sh in an empty root: what it makes, what it leaves alone, and what it refuses."""

import hashlib
import os
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from edge import passwords
from edge.cli import config_faults
from tests.deploy import install_lab as lab
from tests.services import process

pytestmark = pytest.mark.services


@pytest.fixture
def machine(tmp_path):
    return lab.Machine(tmp_path)


@pytest.fixture
def source(tmp_path):
    return lab.published(tmp_path / "source")


def test_an_empty_root_gets_four_files_from_a_web_server_and_a_password_that_is_right(
    machine, source
):
    machine.docker(lab.ITS_OWN)
    with lab.web(source) as (url, _):
        done = machine.install(SOURCE=url, REGISTRY="registry.example/lab/")

    assert (done.returncode, done.stderr) == (0, "")
    made = machine.installed()
    assert set(made) == set(lab.FILES)
    kept = made[".env"].split("SPROUT_ADMIN_PASSWORD_HASH='")[1].split("'")[0]
    assert passwords.right(lab.password(done), kept)
    assert lab.password(done) not in str(made)
    assert (machine.mode(), machine.mode(".env"), machine.mode("provisioning.yaml")) == (
        0o700,
        0o600,
        0o600,
    )
    assert config_faults.faults_of(machine.root / "provisioning.yaml") == []


def test_the_last_line_is_the_next_command(machine):
    last = machine.install().stdout.splitlines()[-1]

    check = "docker compose run --rm sprout check-config provisioning.yaml"
    assert last == f"cd {machine.root} && {check} && docker compose up --detach"


def test_a_second_run_changes_nothing_fetches_nothing_and_shows_no_password(machine, source):
    with lab.web(source) as (url, asked):
        machine.install(SOURCE=url)
        (machine.root / "provisioning.yaml").write_text("mine: yes\n")
        before, fetched = machine.installed(), len(asked)
        again = machine.install(SOURCE=url)

    assert again.returncode == 0
    assert machine.installed() == before
    assert (len(asked), lab.password(again)) == (fetched, "")
    assert [line for line in again.stdout.splitlines() if line.startswith("kept ")] == [
        f"kept {machine.root}/{name}" for name in lab.FILES
    ]
    assert len([line for line in machine.asked() if "hash-password" in line]) == 1


@pytest.mark.parametrize("name", lab.FILES)
def test_a_run_that_was_cut_off_is_finished_by_the_next(machine, name):
    machine.install()
    whole = machine.installed()
    (machine.root / name).unlink()
    left = machine.root / ".install.4194305"  # beyond the highest process id of Linux
    left.mkdir()
    (left / "docker-compose.yml").write_text("half")

    done = machine.install()

    assert (done.returncode, set(machine.installed())) == (0, set(lab.FILES))
    assert {k: v for k, v in machine.installed().items() if k != name} == {
        k: v for k, v in whole.items() if k != name
    }
    assert bool(lab.password(done)) == (name == ".env")


def test_a_link_that_leads_nowhere_is_kept_and_a_folder_in_the_way_is_told(machine):
    machine.root.mkdir(parents=True)
    (machine.root / ".env").symlink_to("/nonexistent/secrets")
    (machine.root / "provisioning.yaml").mkdir()

    done = machine.install()

    assert done.returncode == 1
    assert "provisioning.yaml is in the way: it is no file" in done.stderr
    assert sorted(path.name for path in machine.root.iterdir()) == [".env", "provisioning.yaml"]


BAD = {
    "short": lambda name, body: None if name == "provisioning.compose.yaml" else body,
    "cut": lambda name, body: body[:100] if name == "provisioning.example.yaml" else body,
    "empty": lambda name, body: b"" if name == "server-types.example.yaml" else body,
    "page": lambda _, body: b"<html>sign in first</html>",
    "endless": lambda name, body: body * 20_000 if name == "provisioning.example.yaml" else body,
    "hostile": lambda name, body: body.replace(
        b"  provisioning.example.yaml", b"  ../../etc/\x1b[2Jpasswd"
    ),
    "twice": lambda name, body: body * 2 if name == "SHA256SUMS" else body,
}


@pytest.mark.parametrize("how", BAD)
def test_what_is_not_what_was_published_leaves_nothing_behind(machine, source, how):
    with lab.web(source, BAD[how]) as (url, _):
        done = machine.install(SOURCE=url)

    assert done.returncode == 1
    assert "install.sh: " in done.stderr
    assert "\x1b" not in done.stderr
    assert (lab.password(done), machine.root.exists()) == ("", False)


def test_sums_are_those_that_were_pinned(machine, source):
    sums = source / "SHA256SUMS"
    right = hashlib.sha256(sums.read_bytes()).hexdigest()
    with lab.web(source) as (url, _):
        wrong = machine.install(SOURCE=url, SHA256="0" * 64)
        done = machine.install(SOURCE=url, SHA256=right)

    assert (wrong.returncode, done.returncode) == (1, 0)
    assert "has not the SHA-256" in wrong.stderr


def test_a_source_that_cannot_be_reached_or_is_none_is_told(machine, tmp_path):
    away = f"http://127.0.0.1:{process.free_ports(1)[0]}"
    alone = tmp_path / "install.sh"
    alone.write_bytes(lab.SCRIPT.read_bytes())
    alone.chmod(0o755)

    done = [machine.install(SOURCE=away), machine.install(script=alone)]

    assert [each.returncode for each in done] == [1, 1]
    assert f"cannot fetch {away}/SHA256SUMS" in done[0].stderr
    assert "PROVISIONING_SOURCE says where it is" in done[1].stderr
    assert not machine.root.exists()


def test_without_docker_or_its_compose_nothing_is_made(machine):
    machine.docker(composes=1)
    no_compose = machine.install()
    (machine.bin / "docker").unlink()
    no_docker = machine.install()

    for done in (no_compose, no_docker):
        assert (done.returncode, machine.root.exists()) == (1, False)
        assert "Docker with its compose is missing" in done.stderr


def test_an_older_compose_is_the_next_command_where_there_is_no_other(machine):
    machine.docker(composes=1)
    machine.program("docker-compose", "#!/bin/sh\n")

    assert machine.install().stdout.rstrip().endswith("docker-compose up --detach")


@pytest.mark.parametrize(
    "hashes",
    [
        "exit 125",
        "echo 'Usage: something else'",
        "true",
        r"printf 'scrypt$1\nPATH=x\n'",
        """printf "scrypt\\$'; evil='" """,
    ],
)
def test_an_image_that_is_not_there_or_is_another_makes_no_secrets(machine, hashes):
    machine.docker(f"cat >/dev/null; {hashes}")

    done = machine.install()

    assert (done.returncode, lab.password(done), machine.root.exists()) == (1, "", False)
    assert "the image sprout:" in done.stderr


def test_the_password_crosses_no_command_line_and_no_image_comes_from_a_strangers_registry(machine):
    shown = [lab.password(machine.install())]
    (machine.root / ".env").unlink()
    shown.append(lab.password(machine.install(REGISTRY="registry.example/lab")))

    hashed = [line for line in machine.asked() if line.endswith("hash-password")]
    version = tomllib.loads((lab.ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert not any(each in line for each in shown for line in machine.asked())
    assert f"--pull never sprout:{version} " in hashed[0]
    assert f"--pull missing registry.example/lab/sprout:{version} " in hashed[1]


@pytest.mark.parametrize("registry", ["-v", "a b", "x;y", "x\nSPROUT_ADMIN_TOKEN_HASH=1"])
def test_a_registry_that_is_none_is_refused(machine, registry):
    done = machine.install(REGISTRY=registry)

    assert (done.returncode, machine.asked()) == (1, [])
    assert "is no name of an image" in done.stderr


@pytest.mark.parametrize("root", ["relative", "/proc/nowhere", "/dev/null/x"])
def test_a_root_that_cannot_be_written_is_told(machine, root):
    done = machine.install(ROOT=root)

    assert done.returncode == 1
    assert "install.sh: " in done.stderr
    assert machine.asked() == []


def test_the_lan_is_that_of_the_default_route(machine):
    machine.program("ip", lab.IP)
    done = machine.install()

    told = yaml.safe_load((machine.root / "provisioning.yaml").read_text())
    assert told["server"]["public_url"] == "http://10.3.0.7:8080"
    assert told["pxe"] == {"enabled": True, "interface": "lan0", "subnet": "10.3.0.0/22"}
    assert "for the LAN of lan0, 10.3.0.0/22, where this machine is 10.3.0.7" in done.stdout


@pytest.mark.parametrize("said", ["", "10.3.0.0/22 proto kernel", "x,s/a/b/e src 10.0.0.1"])
def test_a_lan_that_is_not_known_is_left_as_the_example_has_it(machine, said):
    machine.program("ip", f"#!/bin/sh\necho '{said}'\n")
    machine.install(NIC="lan0")

    told = yaml.safe_load((machine.root / "provisioning.yaml").read_text())
    assert told["pxe"] == {"enabled": True, "interface": "eth0", "subnet": "192.168.1.0/24"}


def test_nothing_is_made_where_the_password_cannot_be_shown(machine):
    env = {"PATH": str(machine.bin), "PROVISIONING_ROOT": str(machine.root)}
    with Path(os.devnull).open("rb") as unwritable:
        done = subprocess.run([str(lab.SCRIPT)], env=env, stdout=unwritable, check=False)

    assert done.returncode != 0
    assert not (machine.root / ".env").exists()


@pytest.mark.parametrize("lines", [60, 200, -40, -12, -2, -1])
def test_a_script_that_came_cut_short_does_nothing(machine, tmp_path, lines):
    cut = tmp_path / "install.sh"
    cut.write_text("".join(lab.SCRIPT.read_text().splitlines(keepends=True)[:lines]))
    cut.chmod(0o755)

    done = machine.install(script=cut, SOURCE=str(lab.SCRIPT.parent))

    assert (machine.root.exists(), machine.asked(), done.stdout) == (False, [], "")


def test_help_and_wrong_words(machine):
    shown, wrong = machine.install("--help"), machine.install("--force")

    assert (shown.returncode, wrong.returncode) == (0, 2)
    assert shown.stdout.startswith("usage: install.sh")
    assert "PROVISIONING_REGISTRY" in wrong.stderr
    assert not machine.root.exists()


def test_the_script_has_no_fault_that_shellcheck_knows():
    done = subprocess.run(
        ["shellcheck", str(lab.SCRIPT)], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (0, "")

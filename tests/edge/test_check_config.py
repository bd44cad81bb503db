"""`sprout check-config FILE`: each fault with its line and its cure, of both kinds of files."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.cli.main import APP

DEPLOY = Path(__file__).parents[2] / "deploy"
TYPES = "ms-01:\n  display_name: MS-01\n  boot_disk: nvme0n1\n  management_nic: enp2s0\n"
FILE = """\
server:
  public_url: http://192.168.1.5:8080
pxe:
  enabled: false
credentials:
  root_password_hash: '$6$salt$hash'
"""
LAUGHS = "a0: &a0 {x: y}\nserver: {}\n" + "".join(
    f"a{n}: &a{n} {{{', '.join(f'k{m}: *a{n - 1}' for m in range(10))}}}\n" for n in range(1, 9)
)
"""A document that is a hundred million keys to who takes aliases for what they stand for."""


def checked(*words):
    return CliRunner().invoke(APP, ["check-config", *map(str, words)])


@pytest.fixture
def file(tmp_path):
    (tmp_path / "server-types.yaml").write_text(TYPES)
    path = tmp_path / "provisioning.yaml"
    path.write_text(FILE)
    return path


@pytest.mark.parametrize("name", ["provisioning.example.yaml", "server-types.example.yaml"])
def test_the_examples_are_good(name):
    done = checked(DEPLOY / name)

    assert (done.exit_code, done.stdout) == (0, f"{DEPLOY / name}: good\n")


def test_a_fault_is_a_line_with_file_line_place_and_cure(file):
    file.write_text(FILE.replace("public_url", "publik_url"))

    done = checked(file)

    meaning = "Where browsers and hosts reach Sprout, such as http://192.168.1.5:8080."
    assert done.exit_code == 1
    assert done.stdout.splitlines() == [
        f"{file}:1: server.public_url: field required. Add it. {meaning}",
        f"{file}:2: server.publik_url: there is no such key. Did you mean public_url?",
    ]


def test_the_file_of_server_types_that_it_names_is_checked_too(file):
    types = file.parent / "server-types.yaml"
    types.write_text(TYPES + "  wake_on_lann: true\n")

    done = checked(file)

    assert done.exit_code == 1
    assert done.stdout.startswith(f"{types}:5: ms-01.wake_on_lann: there is no such key.")


def test_a_way_to_boot_that_there_is_none_of_is_told_with_those_that_there_are(tmp_path):
    path = tmp_path / "types.yaml"
    path.write_text(TYPES + "  boot: http\n")

    done = checked(path)

    assert done.exit_code == 1
    assert done.stdout == (
        f"{path}:5: ms-01.boot: input should be 'iso' or 'overlay'. Write one of them. Either iso,"
        " loaded beside the initramfs, or overlay: Linux fetches the ISO, where the firmware cannot"
        " carry that much.\n"
    )


def test_a_file_of_server_types_that_is_missing_is_told(file):
    (file.parent / "server-types.yaml").unlink()

    done = checked(file)

    assert done.exit_code == 1
    assert "server-types.yaml: No such file or directory." in done.stdout


def test_a_map_that_names_no_server_type_is_told(file):
    file.write_text(
        FILE + "infrastructure:\n  base_url: http://infra\n  server_type_map:\n    x1: 7\n"
    )

    done = checked(file)

    assert done.exit_code == 1
    assert f"{file}:10: infrastructure.server_type_map.x1: " in done.stdout
    assert done.stdout.endswith("One of: ms-01.\n")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("[disk-setup", "no TOML"),
        ('[global]\nfqdn = "x.y"', "global.fqdn is Sprout's to decide"),
        ('[global]\nkeyboard = "xx"', "keyboard"),
        ('[disk-setup]\nfilesystem = "zfs"', "zfs wants zfs.raid"),
        ('[disc-setup]\nfilesystem = "xfs"', "disc-setup"),
    ],
)
def test_an_answer_that_no_installer_would_take_is_told_at_its_server_type(tmp_path, answer, words):
    path = tmp_path / "types.yaml"
    path.write_text(TYPES + f"  answer: {json.dumps(answer)}\n")

    done = checked(path)

    assert done.exit_code == 1
    assert done.stdout.startswith(f"{path}:5: ms-01.answer: ")
    assert words in done.stdout


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("server: [\n", ":2: "),
        ("server: {}\nserver: {}\n", ":2: server stands twice"),
        ("a: \x00\n", ": "),
        ("- x\n", ": "),
        ("x" * 2_000_000, "more than 1048576 bytes"),
        ("[" * 5000, ": "),
        ("server: &s {public_url: *s}\n", ":1: found unconstructable recursive node"),
        (LAUGHS, "a8: there is no such key"),
    ],
)
def test_what_is_no_such_file_at_all_is_told_without_a_trace(tmp_path, text, words):
    path = tmp_path / "odd.yaml"
    path.write_text(text)

    done = checked(path)

    assert (done.exit_code, words in done.stdout) == (1, True), done.stdout
    assert done.exception is None or isinstance(done.exception, SystemExit)


def test_what_would_steer_a_terminal_is_written_out(tmp_path):
    path = tmp_path / "odd.yaml"
    path.write_text('server: {"\\e[2J": 1}\n')

    assert "\x1b" not in checked(path).stdout

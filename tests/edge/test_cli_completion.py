"""TAB in a real shell offers commands, options and names, quickly and quietly."""

import os
import socket
import subprocess
import sys

import pytest

from edge.cli import completing
from tests.edge.conftest import ROOT
from tests.edge.test_cli import RUN, asked, inventory, served, sprout

__all__ = ["asked", "inventory", "served", "sprout"]

# What bash does at TAB, in a bash that reads no file of ours.
PATIENT = """
import os
from edge.cli import completing
completing.LONGEST_S = float(os.environ.get("LONGEST_S", completing.LONGEST_S))
"""
TAB = """
source <(sprout completion bash)
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_sprout_completion sprout
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    """Return what bash offers at the end of a line."""
    folder = tmp_path_factory.mktemp("bin")
    program = folder / "sprout"
    program.write_text(f"#!{sys.executable}\n{PATIENT}\n{RUN}\n")
    program.chmod(0o755)
    plain = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT),
        "SPROUT_API_URL": "http://127.0.0.1:1",
        "SPROUT_API_TOKEN": "t",
    }

    def offered(*words, **more):
        done = subprocess.run(
            ["bash", "--norc", "--noprofile", "-c", TAB, "bash", "sprout", *words],
            env=plain | more,
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        return done.stdout.split()

    return offered


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("ma",), {"machines"}),
        (("machines", "po"), {"power-on", "power-off"}),
        (("sync-jobs", "create", "--m"), {"--mode"}),
        (("sync-jobs", "create", "--mode", "pre"), {"preseed"}),
        (("wait", "machine", "x", "--state", "failed,av"), {"failed,available"}),
        (("machines", "list", "-o", ""), {"table", "json", "yaml"}),
        (("completion", ""), {"bash", "zsh", "fish"}),
        (("nonsense", "x"), set()),
    ],
    ids=lambda v: " ".join(sorted(v))[:40],
)
def test_words_are_offered_where_they_can_stand(tab, words, offered):
    assert set(tab(*words)) == offered


def test_every_command_is_offered_first(tab):
    found = tab("")

    assert {"machines", "sites", "login", "wait", "up"} <= set(found)
    assert len(found) > 30


@pytest.mark.services
def test_names_of_machines_sites_and_refs_are_offered(tab, sprout, asked):
    # However busy the machine is that this runs on.
    given = {name: sprout.given[name] for name in ("SPROUT_API_URL", "SPROUT_API_TOKEN")}
    given["LONGEST_S"] = "60"

    assert asked in tab("machines", "show", asked[:4], **given)
    assert "ams-1" in tab("sites", "health", "", **given)
    assert tab("machines", "provision", asked, "--image-ref", "deb", **given) == ["debian-12"]
    assert "reboot" in tab("approvals", "create", "--machine-id", asked, "--action", "re", **given)
    assert asked in tab("why", asked, **given)


def test_an_api_that_is_away_or_says_no_offers_nothing_and_no_word(tab):
    assert tab("machines", "show", "") == []


def test_an_api_that_never_answers_is_not_waited_for(tab):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"

        assert tab("why", "", SPROUT_API_URL=url, LONGEST_S="0.01") == []


HOSTILE = [
    "good-1",
    "a b",
    "$(touch evil)",
    "`id`",
    "*",
    "a'b",
    'a"b',
    "-rf",
    "a\nb",
    "a;b",
    "\x1b",
]


def test_a_name_that_a_shell_could_take_for_more_is_not_offered(monkeypatch):
    class Api:
        def get(self, *_, **__):
            return {"items": [{"hostname": name} for name in HOSTILE]}

    monkeypatch.setattr("edge.cli.client.api", Api)

    assert completing.names("/v1/machines", "hostname")("") == ["good-1"]


@pytest.mark.parametrize("shell", completing.SHELLS)
def test_each_shell_gets_its_script_and_no_other_does(shell, tmp_path):
    command = [sys.executable, "-c", RUN, "completion"]
    done = subprocess.run([*command, shell], cwd=ROOT, capture_output=True, text=True, check=True)
    other = subprocess.run(
        [*command, "tcsh"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert f"_SPROUT_COMPLETE=complete_{shell}" in done.stdout
    assert (other.returncode, other.stdout) == (2, "")
    assert "One of: bash, zsh, fish" in other.stderr

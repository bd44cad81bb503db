"""Each command that operators know from the specification is taken, under its names and options.

The rows are the specification's: `<…>` stands for an argument, `a|b` for two commands, and an
option with nothing behind it for one with a value.  A line is taken when it gets as far as the API.
"""

import re

import pytest
from typer.testing import CliRunner

from edge.cli.client import AWAY, Told
from edge.cli.main import APP

INTERFACE = "id=,name=,macAddress=,pxeEnabled=,networkName="
NETWORK = "--site-id --name --cidr --gateway --dns a,b --range-start --range-end --purpose"
ALLOCATE = "--site-id --count --label k=v --architecture --min-memory-mib --min-disk-bytes"
IMAGE = "--ref --name --architecture --artifact-ref --kernel-path --initrd-path"

ROWS = [
    ("sites create", "--name --slug"),
    ("sites health <site-id>", ""),
    ("networks create", NETWORK),
    ("networks list", ""),
    ("machines create", f"--site-id --hostname --architecture --interface {INTERFACE}"),
    ("artifacts create", "--ref --name --backend filesystem --base-url --prefix"),
    ("images create", IMAGE),
    ("profiles create", "--ref --name --cloud-config-template"),
    ("machines commission <id>", "--reason"),
    ("machines provision <id>", "--image-ref --profile-ref --network-id"),
    ("machines provision <id>", "--image-ref --profile-ref"),
    ("machines reprovision <id>", ""),
    ("ip-allocations list", "--machine-id"),
    ("machines allocate", ALLOCATE),
    ("machines image <id>", "--media-url --boot-source virtual-media"),
    ("machines power-on|power-off <id>", "--reason"),
    ("machines boot-source <id>", "--boot-source pxe --reason"),
    ("machines reboot <id>", "--approval-id --reason"),
    ("machines remote-task <id>", "--approval-id --command --reason"),
    ("day2-actions list", ""),
    ("approvals create", "--machine-id --action --decision --reason"),
    ("action-executions list", "--machine-id"),
    ("action-executions evidence <id>", ""),
    ("policy-decisions list", "--machine-id"),
    ("workflows events <id>", ""),
    ("sync-jobs list", "--site-id"),
    ("sync-jobs create", "--site-id --artifact-ref --mode preseed"),
    ("integration-jobs create", "--name --site-id --kind --provider --endpoint"),
    ("integration-jobs run <id>", ""),
    ("discoveries list", "--site-id"),
    ("discoveries accept <id>", ""),
    ("audit list", ""),
]
NUMBERS = {"--count", "--min-memory-mib", "--min-disk-bytes"}


def lines():
    """Yield each row as it would be typed, with a value behind each option."""
    for command, options in ROWS:
        first, _, verbs = command.partition(" ")
        verb, _, rest = verbs.partition(" ")
        for each in verb.split("|"):
            argument = [re.sub(r"<.*>", "node-01", rest)] if rest else []
            yield [first, each, *argument, *_valued(options)]


def _valued(options):
    words = options.split()
    for number, word in enumerate(words):
        yield word
        following = words[number + 1 : number + 2]
        if word.startswith("--") and (not following or following[0].startswith("--")):
            yield "7" if word in NUMBERS else "value"


@pytest.mark.parametrize("words", list(lines()), ids=" ".join)
def test_a_line_of_the_specification_is_taken(words, monkeypatch, tmp_path):
    monkeypatch.setenv("SPROUT_API_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("SPROUT_DATA_DIR", str(tmp_path))

    result = CliRunner().invoke(APP, words)

    assert result.exit_code != 2, result.output
    assert isinstance(result.exception, Told)
    assert result.exception.status == AWAY

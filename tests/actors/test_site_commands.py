"""What an agent makes of an order to run a command, before anything is connected to."""

from uuid import uuid4

import pytest

from actors.drivers.errors import DriverError, NotAllowed, Refused
from actors.site.commands import Command
from actors.site.orders import Order
from models.remote_commands import MOST_S, Allowed

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEbgHHOiTBJO7UkAf3SeQTDYiSrZ+zshvat/ngMbgzzg"


def order(**changes):
    params = {
        "argv": ["uptime"],
        "limit_s": 10,
        "allowed": {"reads": ["uptime"], "changes": ["systemctl restart <unit>"]},
        "host": {"address": "10.77.0.10", "keys": [KEY]},
    } | changes
    ids = {"task": str(uuid4()), "machine": str(uuid4())}
    return Order.parse(
        ids | {"kind": "remote-task", "epoch": 1, "deadline_s": 60, "params": params}
    )


def test_an_order_s_own_list_says_whether_its_command_only_reads():
    changes = order(argv=["systemctl", "restart", "ssh.service"])

    assert Command.of(order(), None).reads
    assert not Command.of(changes, None).reads


def test_the_site_s_own_list_has_the_last_word():
    own = Allowed.of(["df -h"])

    with pytest.raises(NotAllowed, match="not on this site's list"):
        Command.of(order(), own)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"argv": ["reboot"]}, NotAllowed),
        ({"argv": ["uptime", ""]}, NotAllowed),
        ({"argv": []}, NotAllowed),
        ({"argv": None}, Refused),
        ({"allowed": {}}, Refused),
        ({"allowed": {"reads": ["<name>"], "changes": []}}, Refused),
        ({"host": {}}, Refused),
        ({"host": {"address": "10.77.0.10", "keys": None}}, Refused),
        ({"limit_s": "soon"}, Refused),
        ({"limit_s": "nan"}, Refused),
        ({"limit_s": -1}, Refused),
    ],
)
def test_what_is_malformed_or_not_allowed_is_refused_for_good(changes, error):
    with pytest.raises(DriverError) as caught:
        Command.of(order(**changes), None)

    assert type(caught.value) is error
    assert not caught.value.retryable


def test_no_order_runs_longer_than_any_may():
    assert Command.of(order(limit_s=10**9), None).limit_s == MOST_S

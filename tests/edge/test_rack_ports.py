"""Which ports the BMCs of a rack on this machine are given."""

import socket

from config.settings import Settings
from edge.cli.racks import Virtual


def test_racks_that_start_at_once_look_for_ports_at_different_places(tmp_path):
    """Both would find the same ones free, and one of them would find them taken a moment later."""
    firsts = {_rack(tmp_path / f"{number}")._bmc_port() for number in range(20)}

    assert len(firsts) > 10


def test_the_ports_of_a_rack_are_not_those_that_are_in_use(tmp_path):
    rack = _rack(tmp_path)
    with socket.socket() as held:
        held.bind(("127.0.0.1", taken := rack._bmc_port()))

        found = rack._bmc_port()

    assert found != taken


def _rack(data):
    return Virtual(Settings(data_dir=data), machines=1, firmware="uefi")

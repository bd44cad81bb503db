"""Many clients at once, and one client among packets that nobody should send."""

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict

import pytest

from pxe_stack.tftp_outcome import Counted
from tests.bench.tftp_load import Order, Result
from tests.pxe_stack.lab import ROOT, until
from tests.pxe_stack.tftp_lab import FILE, client, downloaded, rrq, running

pytestmark = pytest.mark.services


@pytest.fixture
def server(tmp_path):
    with running(tmp_path) as made:
        yield made


def loaded(server, **order):
    given = asdict(Order(server=server.address, first="127.72.0.1", **order))
    command = [sys.executable, "-m", "tests.bench.tftp_load", json.dumps(given)]
    went = subprocess.run(
        command, input="go\n", text=True, capture_output=True, cwd=ROOT, check=True, timeout=90
    )
    return Result(**json.loads(went.stdout.splitlines()[1]))


@contextmanager
def flooded(server):
    command = [sys.executable, "-m", "tests.pxe_stack.tftp_flood", *map(str, server.address)]
    with subprocess.Popen(command, cwd=ROOT) as flood:
        try:
            yield
        finally:
            flood.kill()


def seconds(server):
    began = time.monotonic()
    with client() as sock:
        assert downloaded(sock, server, rrq(options={"blksize": "1468"})) == FILE
    return time.monotonic() - began


@pytest.mark.parametrize("options", [{"blksize": "1468"}, {"windowsize": "16"}], ids=str)
def test_a_thousand_clients_at_once_all_get_the_file_and_hardly_a_packet_goes_twice(
    server, tmp_path, options
):
    (tmp_path / "undionly.kpxe").write_bytes(FILE[:100_000])

    result = loaded(server, name="undionly.kpxe", size=100_000, clients=1_000, options=options)

    assert (result.complete, result.failed) == (1_000, 0)
    until(lambda: sum(end.why is None for end in server.ended) == 1_000)
    assert sum(end.resent for end in server.ended) + result.repeated <= 1_000
    until(lambda: not server.table.by_fd)


def test_a_client_among_hostile_packets_is_served_in_no_more_than_twice_its_time(server):
    normal = sorted(seconds(server) for _ in range(5))[2]
    with flooded(server):
        until(lambda: server.counts[Counted.TOO_MANY] > 10_000)
        among = sorted(seconds(server) for _ in range(5))[2]

    # The slack is for what the flood takes of a machine with few cores, and not of the server.
    assert among <= 2 * normal + 0.5
    assert {end.why for end in server.ended} > {None}
    until(lambda: len(server.table.by_fd) <= 8)

"""Real TFTP clients on loopback: over a good wire, and over a bad one."""

import subprocess

import pytest
from tftpy import TftpClient

from pxe_stack import tftp, transfer
from tests.pxe_stack.lab import until
from tests.pxe_stack.tftp_lab import FILE, running
from tests.pxe_stack.tftp_relay import Relay, relaying

pytestmark = pytest.mark.services

ATFTP = ("atftp", "--get", "-r", "{name}", "-l", "got")
WINDOWS = ("--option", "blksize 1428", "--option", "windowsize {window}")
CLIENTS = {
    "tftp-hpa": ("tftp", "-m", "binary", "{host}", "{port}", "-c", "get", "{name}", "got"),
    "atftp": (*ATFTP, "{host}", "{port}"),
    "atftp-tsize-timeout": (
        *(*ATFTP[:1], "--option", "tsize", "--option", "timeout 2", *ATFTP[1:]),
        *("{host}", "{port}"),
    ),
    "atftp-windowsize-1": (*ATFTP, *WINDOWS, "{host}", "{port}"),
    "atftp-windowsize-4": (*ATFTP, *WINDOWS, "{host}", "{port}"),
    "atftp-windowsize-16": (*ATFTP, *WINDOWS, "{host}", "{port}"),
    "atftp-windowsize-64": (*ATFTP, *WINDOWS, "{host}", "{port}"),
    "curl": ("curl", "-sf", "tftp://{host}:{port}/{name}", "-o", "got"),
    "curl-no-options": (
        *("curl", "-sf", "--tftp-no-options", "tftp://{host}:{port}/{name}", "-o", "got"),
    ),
    "curl-65464": (
        *("curl", "-sf", "--tftp-blksize", "65464", "tftp://{host}:{port}/{name}", "-o", "got"),
    ),
    "curl-8": (
        *("curl", "-sf", "--tftp-blksize", "8", "tftp://{host}:{port}/{name}", "-o", "got"),
    ),
    "busybox": ("busybox", "tftp", "-g", "-r", "{name}", "-l", "got", "{host}", "{port}"),
    "busybox-1468": (
        *("busybox", "tftp", "-g", "-b", "1468", "-r", "{name}", "-l", "got"),
        *("{host}", "{port}"),
    ),
}


@pytest.fixture
def server(tmp_path):
    with running(tmp_path) as made:
        yield made


def fetched(client, address, folder, name="snponly.efi"):
    """Have *client* fetch the file from *address*; return what it then has."""
    window = client.rpartition("-")[2]
    words = [
        word.format(host=address[0], port=address[1], name=name, window=window)
        for word in CLIENTS[client]
    ]
    went = subprocess.run(words, cwd=folder, check=False, capture_output=True, timeout=60)
    got = folder / "got"
    return got.read_bytes() if got.exists() else went


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_gets_the_file_whole_and_nothing_is_sent_twice(server, tmp_path, client):
    name, expected = "snponly.efi", FILE
    if client == "curl-8":  # 250,000 packets would prove no more
        name, expected = "undionly.kpxe", b"BIOS\r\n" * 90

    assert fetched(client, server.address, tmp_path, name) == expected
    until(lambda: server.ended)
    assert [(end.why, end.resent) for end in server.ended] == [(None, 0)]


def test_tftpy_gets_the_file_whole(server, tmp_path):
    asked = TftpClient(*server.address, options={"blksize": 1468, "tsize": 0})

    asked.download("snponly.efi", str(tmp_path / "got"))

    assert (tmp_path / "got").read_bytes() == FILE


def test_the_netascii_of_tftp_hpa_is_undone_by_tftp_hpa(server, tmp_path):
    words = ("tftp", "-m", "ascii", server.address[0], str(server.address[1]))

    subprocess.run((*words, "-c", "get", "undionly.kpxe", "got"), cwd=tmp_path, check=True)

    assert (tmp_path / "got").read_bytes() == b"BIOS\r\n" * 90


def test_atftp_that_asks_for_multicast_is_served_without(server, tmp_path):
    words = (*CLIENTS["atftp"][:1], "--option", "multicast", *CLIENTS["atftp"][1:])
    given = {"host": server.address[0], "port": server.address[1], "name": "snponly.efi"}

    subprocess.run([word.format(**given) for word in words], cwd=tmp_path, check=True)

    assert (tmp_path / "got").read_bytes() == FILE


@pytest.mark.parametrize("client", ["tftp-hpa", "atftp", "curl", "busybox"])
def test_what_is_not_there_is_refused_and_the_client_says_so(server, tmp_path, client):
    fetched(client, server.address, tmp_path, "no-such-file")

    until(lambda: server.ended)
    assert {end.why.value for end in server.ended} == {"no-such-file"}


@pytest.mark.parametrize("put", [("tftp", "-m", "binary"), ("busybox", "tftp")])
def test_nothing_is_written(server, tmp_path, put):
    (tmp_path / "mine").write_bytes(b"mine")
    host, port = server.address[0], str(server.address[1])
    words = (
        (*put, host, port, "-c", "put", "mine", "snponly.efi")
        if put[0] == "tftp"
        else (*put, "-p", "-l", "mine", "-r", "snponly.efi", host, port)
    )

    subprocess.run(words, cwd=tmp_path, check=False, capture_output=True, timeout=20)

    until(lambda: server.ended)
    assert (tmp_path / "snponly.efi").read_bytes() == FILE
    assert {end.why.value for end in server.ended} == {"read-only"}


WRONGS = ("lost", "repeated", "late")
BAD_WIRES = [
    *((client, {"repeated": 0.05}) for client in ("tftp-hpa", "atftp", "atftp-windowsize-16")),
    *((client, {"late": 0.01}) for client in ("atftp-windowsize-4", "atftp-windowsize-16")),
    *((client, {"lost": 0.01}) for client in ("tftp-hpa", "busybox-1468")),
    # After a lost ACK atftp waits 5 s, whatever it is sent.
    *((f"atftp-windowsize-{n}", {"lost": 0.02, "heeds": {"data"}}) for n in (1, 4, 16)),
]


@pytest.mark.parametrize(("client", "wrong"), BAD_WIRES, ids=str)
def test_over_a_bad_wire_a_client_gets_the_file_and_little_is_sent_again(
    server, tmp_path, monkeypatch, client, wrong
):
    monkeypatch.setattr(transfer, "FIRST_TIMEOUT_S", 0.05)
    monkeypatch.setattr(tftp, "TICK_S", 0.01)
    with relaying(Relay(server.address, **wrong)) as relay:
        assert fetched(client, relay.address, tmp_path) == FILE

    until(lambda: server.ended)
    (end,) = server.ended
    wrongs = sum(relay.seen[what] for what in WRONGS)
    assert wrongs > 0
    assert end.why is None
    # What goes wrong costs a window, and now and then one that was on its way with it.
    assert relay.seen["data"] <= (end.size // end.blksize + 1) * 1.1 + wrongs * 1.5 * end.window

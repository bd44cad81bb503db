"""The SSH driver against Debian's own sshd."""

import os
import socket
import threading
from contextlib import contextmanager, suppress
from ipaddress import ip_network
from uuid import uuid4

import paramiko
import psutil
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paramiko import ssh_exception

from actors.drivers import dial, ssh, ssh_keys
from actors.drivers.deadline import Deadline
from actors.drivers.errors import (
    DriverError,
    HostKeyChanged,
    Interrupted,
    LeaseLost,
    NotAllowed,
    NotLetIn,
    Refused,
    Unreachable,
)
from actors.drivers.ssh_keys import Fresh
from models import ssh_access
from tests.actors.lane import until
from tests.services import sshd

pytestmark = pytest.mark.services

CA = Ed25519PrivateKey.generate()
MACHINE = uuid4()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with sshd.running(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture(autouse=True)
def _trusts(server):
    server.lets_in(ssh_access.authorised(ssh_keys.public(CA), MACHINE))


def loopback(address, port, seconds):
    return socket.create_connection((address, port), timeout=seconds)


def certified(machine=MACHINE, authority=CA, **how):
    principal = ssh_access.principal(machine)
    return ssh_keys.certified(authority, user="root", principal=principal, what="a test", **how)


@contextmanager
def entered(server, *, login=None, keys=None, connect=loopback, seconds=100):
    pinned = tuple(server.keys.values()) if keys is None else keys
    host = ssh.Host(address="127.0.0.1", port=server.port, keys=pinned)
    with ssh.session(host, login or certified(), connect, Deadline.after(seconds)) as session:
        yield session


class Heard(dict):
    """What a command said, by stream."""

    def __call__(self, stream, said):
        self[stream] = self.get(stream, b"") + said


def ran(server, *argv, limit_s=60, wanted=lambda: None, **how):
    heard = Heard()
    with entered(server, **how) as session:
        return session.run(argv, heard, limit_s=limit_s, wanted=wanted).status, heard


def running(marker):
    """The processes with *marker* among their words that are not ours."""
    return [
        each.pid
        for each in psutil.process_iter(["cmdline"])
        if marker in " ".join(each.info["cmdline"] or ()) and each.pid != os.getpid()
    ]


def test_a_command_s_output_and_status_come_back_by_stream(server):
    status, heard = ran(server, "sh", "-c", "echo out; echo bad >&2; exit 3")

    assert (status, heard) == (3, {"stdout": b"out\n", "stderr": b"bad\n"})


def test_one_login_runs_one_command_after_another_whatever_came_of_the_one_before(server):
    heard, logins = Heard(), server.log().count("Accepted publickey")

    with entered(server) as session:
        first = session.run(("false",), heard, limit_s=20)
        with pytest.raises(Interrupted):
            session.run(("sleep", "3600"), heard, limit_s=0.2)
        last = session.run(("echo", "still here"), heard, limit_s=20)

    assert (first.status, last.status, heard["stdout"]) == (1, 0, b"still here\n")
    assert server.log().count("Accepted publickey") == logins + 1


@pytest.mark.parametrize("kind", sshd.KINDS)
def test_a_host_is_known_by_any_one_key_that_it_was_installed_with(server, kind):
    key = server.keys[kind]

    with entered(server, keys=(key,)) as session:
        assert session.host_key == ssh_access.fingerprint(key)


def test_a_changed_host_key_is_named_beside_the_pinned_one_and_nothing_is_sent(server, tmp_path):
    other = sshd.new_key(tmp_path / "other")
    logins = server.log().count("Accepted")

    with pytest.raises(HostKeyChanged) as caught, entered(server, keys=(other,)):
        pass

    assert ssh_access.fingerprint(other) in str(caught.value)
    assert ssh_access.fingerprint(server.keys["ed25519"]) in str(caught.value)
    assert server.log().count("Accepted") == logins


@pytest.mark.parametrize("keys", [(), ("",), ("ssh-ed25519 AAAA",), ("nonsense",)])
def test_without_a_key_to_know_it_by_no_host_is_spoken_to(server, keys):
    def never(*_):
        raise AssertionError("it connected")

    with pytest.raises(NotAllowed, match="no host key"), entered(server, keys=keys, connect=never):
        pass


@pytest.mark.parametrize(
    "login",
    [
        pytest.param(lambda: certified(good_for_s=-1), id="its certificate is over"),
        pytest.param(lambda: certified(uuid4()), id="it is for another machine"),
        pytest.param(
            lambda: certified(authority=Ed25519PrivateKey.generate()), id="another authority's"
        ),
        pytest.param(lambda: Fresh.made().login("root"), id="a key that nobody named"),
    ],
)
def test_a_login_that_is_not_good_is_refused_for_good(server, login):
    with pytest.raises(NotLetIn) as caught, entered(server, login=login()):
        pass

    assert not caught.value.retryable


def test_a_key_that_was_named_lets_in_without_a_certificate(server):
    fresh = Fresh.made()
    server.lets_in(fresh.public)

    assert ran(server, "echo", "in", login=fresh.login("root")) == (0, {"stdout": b"in\n"})


def test_a_certificate_lets_in_and_permits_nothing_else(server):
    with entered(server) as session:
        transport = session._transport
        with pytest.raises(paramiko.ChannelException):
            transport.open_channel("direct-tcpip", ("127.0.0.1", 1), ("127.0.0.1", 1))
        channel = transport.open_session()
        with pytest.raises(paramiko.SSHException):
            channel.get_pty()


def test_words_reach_the_program_as_they_are_whatever_a_shell_would_make_of_them(server):
    words = ["a'b", '"', "$(id)", "; id", "`id`", "*", "-n", "", "é😀", "\\", "&", "|", "> /x", "#"]
    printing = ("python3", "-c", "import sys; print(sys.argv[1:])")

    _, heard = ran(server, *printing, *words)

    assert heard["stdout"].decode().strip() == repr(words)


def test_much_output_comes_whole_and_in_bounded_pieces(server):
    pieces = []
    with entered(server) as session:
        argv = ("head", "-c", "100000000", "/dev/zero")
        session.run(argv, lambda _, said: pieces.append(len(said)), limit_s=100)

    assert sum(pieces) == 100_000_000
    assert max(pieces) <= 64 * 1024


def test_what_a_command_leaves_behind_cannot_speak_for_longer_than_its_time(server):
    over = Deadline.after(60)

    def slow(_stream, _said):
        threading.Event().wait(0.005)  # as long as taking secrets out of it

    def wanted():
        assert over.left, "it goes on for ever"

    with entered(server) as session:
        ended = session.run(["sh", "-c", "setsid yes & exit 7"], slow, limit_s=2, wanted=wanted)

    assert ended.status == 7


def test_a_command_that_hangs_is_dead_on_the_host_when_its_time_is_over(server):
    marker = f"3600.{uuid4().int % 10**9}"
    stubborn = f"trap '' TERM HUP INT; sleep {marker} & sleep {marker}; sleep {marker}"

    with pytest.raises(Interrupted, match="too long; it was stopped"):
        ran(server, "sh", "-c", stubborn, limit_s=0.5)

    assert running(marker) == []


def test_a_command_that_is_cancelled_is_dead_on_the_host(server):
    marker = f"3600.{uuid4().int % 10**9}"

    def cancelled():
        if running(marker):
            raise LeaseLost("the task was cancelled")

    with pytest.raises(LeaseLost, match="cancelled; it was stopped"):
        ran(server, "sleep", marker, wanted=cancelled)

    assert running(marker) == []


def test_a_command_dies_with_the_connection_and_its_end_is_unknown(server):
    marker = f"3600.{uuid4().int % 10**9}"
    hung_up = threading.Event()

    def cut():
        if running(marker) and not hung_up.is_set():
            server.hang_up()
            hung_up.set()

    with pytest.raises(Interrupted, match="broke in the middle"):
        ran(server, "sleep", marker, wanted=cut)

    until(lambda: running(marker) == [])


@contextmanager
def impostor(*says, pause_s=0.0):
    """Whoever says *says* to who connects, one after another, and then nothing for ever."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            line, _ = listening.accept()
            with line, suppress(OSError):
                for each in says:
                    line.sendall(each)
                    pause.wait(pause_s)
                while line.recv(4096):  # until it is hung up on
                    pass

        pause = threading.Event()
        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


@pytest.mark.parametrize(
    ("says", "pause_s"),
    [
        pytest.param((), 0, id="nothing"),
        pytest.param((b"SSH-2.0-slow\r\n",), 0, id="its banner alone"),
        pytest.param([b"S", b"S", b"H"] + [b"-"] * 100, 0.05, id="a byte now and then"),
        pytest.param([b"welcome\r\n"] * 100, 0.05, id="lines before the banner"),
        pytest.param((b"HTTP/1.1 200 OK\r\n\r\n",), 0, id="HTTP"),
        pytest.param((b"SSH-2.0-x\r\n" + b"\xff" * 4096,), 0, id="noise"),
        pytest.param((b"SSH-1.5-old\r\n",), 0, id="SSH 1"),
    ],
)
def test_whoever_is_slow_or_speaks_no_ssh_is_hung_up_on(server, monkeypatch, says, pause_s):
    monkeypatch.setattr(ssh, "BANNER_S", 1.0)

    with impostor(*says, pause_s=pause_s) as port:
        host = ssh.Host(address="127.0.0.1", port=port, keys=tuple(server.keys.values()))
        with (
            pytest.raises((Unreachable, Refused)),
            ssh.session(host, certified(), loopback, Deadline.after(60)),
        ):
            pass


def test_every_error_of_paramiko_becomes_one_of_ours(server):
    host = ssh.Host(address="10.0.0.1", keys=())
    found = [
        each
        for each in vars(ssh_exception).values()
        if isinstance(each, type) and issubclass(each, Exception)
    ]

    for theirs in found:
        error = theirs.__new__(theirs)
        with pytest.raises(DriverError) as caught, ssh.translated(host):
            raise error
        assert caught.value.__cause__ is error


NETWORK = ip_network("10.77.0.0/24")


@pytest.mark.parametrize(
    ("networks", "address"),
    [
        ([NETWORK], "10.78.0.1"),
        ([NETWORK], "127.0.0.1"),
        ([NETWORK], "169.254.169.254"),
        ([ip_network("0.0.0.0/0")], "169.254.169.254"),
        ([ip_network("0.0.0.0/0")], "127.0.0.1"),
        ([ip_network("0.0.0.0/0")], "169.254.1.1"),
        ([ip_network("0.0.0.0/0")], "::ffff:127.0.0.1"),
        ([], "10.77.0.10"),
        ([NETWORK], "node-01"),
        ([NETWORK], ""),
    ],
)
def test_nothing_is_connected_to_but_a_machine_of_the_site(networks, address):
    with pytest.raises(NotAllowed):
        dial.within(lambda: networks)(address, 22, 1.0)


@pytest.mark.parametrize("given", [b"", b"one\ntwo\n", b"\x00\xff'\"$(id)", b"x" * 100_000])
def test_what_a_command_is_given_is_its_input_and_nobody_s_argument(server, given):
    heard = Heard()
    telling = ("sh", "-c", "cat; cat /proc/[0-9]*/cmdline >&2 2>/dev/null; true")

    with entered(server) as session:
        ended = session.run(telling, heard, limit_s=60, given=given)

    assert (ended.status, heard.get("stdout", b"")) == (0, given)
    assert b"sprout" in heard["stderr"]
    assert not given or given not in heard["stderr"]


def test_a_command_that_is_given_something_dies_with_the_connection_too(server):
    marker = f"3600.{uuid4().int % 10**9}"
    hung_up = threading.Event()

    def cut():
        if running(marker) and not hung_up.is_set():
            server.hang_up()
            hung_up.set()

    with entered(server) as session, pytest.raises(Interrupted, match="broke in the middle"):
        session.run(("sleep", marker), Heard(), limit_s=60, wanted=cut, given=b"x")

    until(lambda: running(marker) == [])


def test_a_command_that_reads_nothing_of_what_it_is_given_ends_as_it_does(server):
    with entered(server) as session:
        ended = session.run(("sh", "-c", "exit 7"), Heard(), limit_s=60, given=b"y" * 100_000)

    assert ended.status == 7

"""SSH into machines: the one owner of paramiko.

Rule 1: only a host key that is pinned is spoken to; keys of other kinds are not even negotiated.
Rule 2: no agent, no key file and no password is ever looked for: one login, and that is all.
Rule 3: everything is bounded: the connection, the banner, the login, the command, its output.
Rule 4: a command ends with its session: its standard input is the line by which it lives, so that
        a cancellation, a time limit, a lost connection and a dead agent all kill it.
"""

import io
import logging
import select
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import paramiko
from paramiko.ssh_exception import (
    AuthenticationException,
    ChannelException,
    IncompatiblePeer,
    SSHException,
)

from actors.drivers import ssh_led
from actors.drivers.deadline import Deadline
from actors.drivers.dial import Dial
from actors.drivers.errors import (
    DriverError,
    Garbled,
    HostKeyChanged,
    Interrupted,
    NotAllowed,
    NotLetIn,
    Refused,
    TookTooLong,
    Unreachable,
)
from actors.drivers.ssh_keys import Login
from models import ssh_access

CONNECT_S: Final = 10.0
BANNER_S: Final = 15.0
LOGIN_S: Final = 20.0
CHANNEL_S: Final = 15.0
KEEPALIVE_S: Final = 10
KILL_S: Final = 6.0
"""Seconds that the host is given to end a command that is to end."""

LAST_WORDS_S: Final = 1.0
"""Seconds after a command's end in which what it said still arrives."""

LOOK_S: Final = 0.25
"""Between two looks whether the task is still wanted."""

_SHORT_S: Final = 0.02

_GRACE_S: Final = 10
"""Seconds after the time limit when the host itself ends a command that nobody could end."""

_NO_SUCH_KEY: Final = "no acceptable host key"

_READ: Final = 64 * 1024
_WINDOW: Final = 1 << 21

_KINDS: Final = MappingProxyType({"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")})
"""What a pinned key signs with, where that has another name than the key."""

# It logs the trace of whatever a host does wrong, which is told as an error of ours anyway.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)

Took = Callable[[str, bytes], None]
"""Takes what a command said: the stream (stdout, stderr), and some of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A machine's system, by an address of the site; *keys* are its host keys, as pinned."""

    address: str
    keys: tuple[str, ...]
    port: int = 22


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: *status* as a shell says it, 128 and more for a signal."""

    status: int
    seconds: float


@contextmanager
def session(host: Host, login: Login, dial: Dial, deadline: Deadline) -> Iterator["Session"]:
    """Log in for a block.  Raises DriverError; nothing was run where that is no Interrupted."""
    pinned = tuple(filter(None, map(ssh_access.public_key, host.keys)))
    if not pinned:
        raise NotAllowed(f"{host.address}: no host key of it is known")
    line = dial(host.address, host.port, deadline.within(CONNECT_S).left)
    with translated(host):
        transport = paramiko.Transport(line, default_window_size=_WINDOW)
    try:
        with translated(host):
            shown = _greeted(transport, host, pinned, deadline)
            _let_in(transport, host, login, deadline)
        yield Session(transport, host, shown, deadline)
    finally:
        transport.close()


@contextmanager
def translated(host: Host) -> Iterator[None]:
    """Turn paramiko's errors into ours, keeping the original as the cause."""
    try:
        yield
    except AuthenticationException as exc:
        raise Refused(f"{host.address}: the login is refused: {_said(exc)}") from exc
    except ChannelException as exc:
        raise Refused(f"{host.address}: no command is taken: {_said(exc)}") from exc
    except (SSHException, EOFError) as exc:
        raise Unreachable(f"{host.address}: {_said(exc)}") from exc
    except OSError as exc:
        raise Unreachable(f"{host.address}: {exc.strerror or exc}") from exc
    except (ValueError, IndexError, KeyError, UnicodeError) as exc:
        raise Garbled(f"{host.address}: what it says is no SSH: {type(exc).__name__}") from exc


def _said(exc: Exception) -> str:
    """Return what paramiko says of *exc*, in one short line."""
    first = exc.args[0] if exc.args else ""
    return " ".join(str(first).split())[:200] or f"hung up ({type(exc).__name__})"


def _greeted(
    transport: paramiko.Transport, host: Host, pinned: Sequence[str], deadline: Deadline
) -> str:
    """Agree on keys, and return the fingerprint of the host's.  Raises HostKeyChanged."""
    kinds = [kind for key in pinned for kind in _KINDS.get(key.split()[0], (key.split()[0],))]
    transport.get_security_options().key_types = tuple(dict.fromkeys(kinds))
    transport.banner_timeout = transport.handshake_timeout = deadline.within(BANNER_S).left
    wanted = ", ".join(map(ssh_access.fingerprint, pinned))
    try:
        transport.start_client(timeout=deadline.within(BANNER_S).left)
    except IncompatiblePeer as exc:
        if _NO_SUCH_KEY not in str(exc):
            raise Refused(f"{host.address}: it speaks no SSH of today: {_said(exc)}") from exc
        raise HostKeyChanged(
            f"{host.address}: the host key has changed: it has none of the kind that it was "
            f"installed with, {wanted}; nothing was sent"
        ) from exc
    key = transport.get_remote_server_key()
    shown = f"{key.get_name()} {key.get_base64()}"
    if shown not in pinned:
        raise HostKeyChanged(
            f"{host.address}: the host key has changed: it shows {ssh_access.fingerprint(shown)}, "
            f"and was installed with {wanted}; nothing was sent"
        )
    return ssh_access.fingerprint(shown)


def _let_in(transport: paramiko.Transport, host: Host, login: Login, deadline: Deadline) -> None:
    key = paramiko.Ed25519Key(file_obj=io.StringIO(login.private_key.reveal()))
    if login.certificate:
        key.load_certificate(login.certificate)
    transport.auth_timeout = deadline.within(LOGIN_S).left
    try:
        left = transport.auth_publickey(login.user, key)
    except AuthenticationException as exc:
        if not transport.is_active():
            raise Unreachable(f"{host.address}: hung up at the login, or took too long") from exc
        raise NotLetIn(f"{host.address}: it lets {login.user} not in by this key") from exc
    if left:
        raise NotLetIn(f"{host.address}: it wants more of {login.user} than a key")
    transport.set_keepalive(KEEPALIVE_S)


class Session:
    """One login; its commands are run one after another.

    *host_key* is the fingerprint of the host's key; *host_keys* are all that are pinned.
    """

    def __init__(
        self, transport: paramiko.Transport, host: Host, host_key: str, deadline: Deadline
    ) -> None:
        self._transport = transport
        self._host = host
        self._deadline = deadline
        self.host_key = host_key
        self.host_keys = tuple(filter(None, map(ssh_access.public_key, host.keys)))

    def run(
        self,
        argv: Sequence[str],
        took: Took,
        *,
        limit_s: float,
        wanted: Callable[[], None] = lambda: None,
        given: bytes | None = None,
    ) -> Ended:
        """Run the program *argv* and return when it has ended; *given* is its standard input.

        *wanted* is asked again and again, and raises what ends it early.  Raises Interrupted when
        it took over *limit_s* seconds, or when the connection broke; the command is dead then, or
        was told to be.
        """
        line = ssh_led.line(argv, limit_s + _GRACE_S, fed=given is not None)
        with translated(self._host):
            channel = self._transport.open_session(
                window_size=_WINDOW, timeout=self._deadline.within(CHANNEL_S).left
            )
        channel.settimeout(CHANNEL_S)
        began, until = time.monotonic(), self._deadline.within(limit_s)
        try:
            self._begun(channel, line, b"" if given is None else ssh_led.first(given))
            self._followed(channel, took, until, wanted)
        except BaseException as exc:
            gone = self._stopped(channel)
            if isinstance(exc, DriverError):
                exc.args = (f"{exc}; {'it was stopped' if gone else _UNSURE}",)
            raise
        finally:
            channel.close()
        return Ended(channel.recv_exit_status(), round(time.monotonic() - began, 3))

    def _begun(self, channel: Any, line: str, given: bytes) -> None:
        try:
            with translated(self._host):
                channel.exec_command(line)
                channel.sendall(given)
        except Unreachable as exc:
            raise Interrupted(f"the connection broke as the command was sent: {exc}") from exc

    def _followed(
        self, channel: Any, took: Took, until: Deadline, wanted: Callable[[], None]
    ) -> None:
        """Take what is said until the command has ended and its last words are here."""
        poll, last = select.poll(), None
        poll.register(channel.fileno(), select.POLLIN)
        while True:
            said = _drained(channel, took)
            if channel.exit_status_ready():
                last = last or Deadline.after(LAST_WORDS_S)
                over = channel.eof_received or channel.closed or last.left <= 0
                # What it left behind may speak for ever by the same line.
                if until.left <= 0 or (not said and over):
                    return self._judged(channel)
            elif channel.closed or not self._transport.is_active():
                raise Interrupted(f"{self._host.address}: the connection broke in the middle of it")
            elif until.left <= 0:
                raise TookTooLong(f"{self._host.address}: the command took too long")
            wanted()
            if not said and channel.eof_received:
                time.sleep(_SHORT_S)  # nothing more makes the channel's descriptor readable
            elif not said:
                poll.poll((LOOK_S if last is None else _SHORT_S) * 1000)

    def _judged(self, channel: Any) -> None:
        if channel.recv_exit_status() < 0:
            raise Interrupted(f"{self._host.address}: the connection broke in the middle of it")

    def _stopped(self, channel: Any) -> bool:
        """Have the host end the command; whether it said that it did."""
        until = Deadline.after(KILL_S)
        with suppress(SSHException, OSError, EOFError):
            channel.shutdown_write()
            while not channel.exit_status_ready() and self._transport.is_active():
                if until.left <= 0 or channel.closed:
                    break
                if not _drained(channel, lambda _stream, _said: None):
                    time.sleep(_SHORT_S)
        return bool(channel.exit_status_ready() and channel.recv_exit_status() >= 0)


_UNSURE: Final = "the host did not say that it was stopped"


def _drained(channel: Any, took: Took) -> bool:
    """Take a piece of each stream that has one; whether there was any."""
    said = False
    if channel.recv_ready():
        took("stdout", channel.recv(_READ))
        said = True
    if channel.recv_stderr_ready():
        took("stderr", channel.recv_stderr(_READ))
        said = True
    return said

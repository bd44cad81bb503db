"""`python -m edge.agents`: the listener of sites' agents, under gunicorn with mutual TLS.

A process of its own, because gunicorn speaks TLS on all of its sockets or on none: what operators
and browsers use stays as it is.
"""

import socket
import ssl
import sys
from typing import TYPE_CHECKING, Any, Final

import structlog

from config.settings import BadSettings, Settings
from config.tls import Credentials
from edge import serve

if TYPE_CHECKING:
    from flask import Flask

HANDSHAKE_S: Final = 5.0
"""Seconds that a handshake may take: a peer that stalls holds a thread."""

log = structlog.get_logger()


class Doorman:
    """Speaks TLS on each new connection; one that fails is told in one line and goes no further."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context

    def wrap_socket(self, line: socket.socket, **_: object) -> ssl.SSLSocket:
        """Return *line* after its handshake, as `SSLContext.wrap_socket` does.

        Raises SSLEOFError, at which gunicorn says nothing, and writes nothing to the peer.
        """
        peer = _peer(line)
        line.settimeout(HANDSHAKE_S)
        try:
            made = self._context.wrap_socket(line, server_side=True)
        except OSError as exc:
            log.warning("agents.handshake-failed", peer=peer, why=reason(exc))
            raise ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "the handshake failed") from None
        made.settimeout(None)
        return made


class Agents(serve.Edge):
    """The agents' listener as gunicorn starts it."""

    def __init__(self, settings: Settings, credentials: Credentials) -> None:
        self._credentials = credentials
        # Made before the first connection, so that bad files are seen at the start.
        self._doorman = Doorman(credentials.server())
        super().__init__(settings)

    def load_config(self) -> None:
        """Set what differs from the edge."""
        super().load_config()
        own: dict[str, Any] = {
            "bind": self._settings.agent_bind,
            "proc_name": "sprout-agents",
            "certfile": str(self._credentials.cert),
            "keyfile": str(self._credentials.key),
            "ssl_context": lambda _config, _default: self._doorman,
        }
        for name, value in own.items():
            self.cfg.set(name, value)

    def load(self) -> "Flask":
        """Build the application, in a worker."""
        from edge.app import create_agents_app  # noqa: PLC0415 - the master goes without

        return create_agents_app(serve.configured(self._settings))


def reason(exc: OSError) -> str:
    """Return why a handshake failed, in a few words."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"the certificate is refused: {exc.verify_message}"
    if isinstance(exc, ssl.SSLError):
        return (exc.reason or "the peer went away").replace("_", " ").lower()
    return f"no handshake within {HANDSHAKE_S:.0f} s" if isinstance(exc, TimeoutError) else str(exc)


def main() -> int:
    """Serve until SIGTERM; return the exit status."""
    try:
        settings = Settings.load()
        credentials = settings.credentials()
    except BadSettings as exc:
        sys.stderr.write(f"{exc}\n")
        return 2
    if credentials is None:
        sys.stderr.write("SPROUT_TLS_ENABLED: want true, because agents show a certificate here\n")
        return 2
    return serve.run(settings, "agents", lambda: Agents(settings, credentials).run())


def _peer(line: socket.socket) -> str:
    try:
        return str(line.getpeername()[0])
    except OSError:
        return "gone"


if __name__ == "__main__":
    sys.exit(main())

"""The ways in, as an entry point tells them."""

import hmac
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """How people come in; each empty where it is not set.

    Attributes:
        token_hash: SHA-256 (hex) of the admin's token.
        password_hash: of the local admin's password, as `edge.passwords` writes it.
        session_key: what sessions of browsers are known by.
        issuer: whom people and programs may log in at.
    """

    token_hash: str = field(default="", repr=False)
    password_hash: str = field(default="", repr=False)
    session_key: str = field(default="", repr=False)
    issuer: str = ""

    @property
    def key(self) -> bytes | None:
        """Return what names of sessions are hashed with; None: no browser is let in.

        It is bound to the doors: another token, password or issuer ends all sessions.
        """
        ways = (self.token_hash, self.password_hash, self.issuer)
        if not self.session_key or not any(ways):
            return None
        return hmac.digest(self.session_key.encode(), "\n".join(ways).encode(), "sha256")


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """The edge as the issuer knows it.

    Attributes:
        issuer: its URL, exactly as its tokens name it.
        client_id: the edge's client there.
        secret: that client's; without it nobody can be asked about.
        audience: what tokens must be for.
        scopes: what is asked for when a person logs in.
        cli_client_id: the public client by which the command line logs in.
    """

    issuer: str
    client_id: str
    secret: str = field(default="", repr=False)
    audience: str
    scopes: str = "openid profile email"
    cli_client_id: str = ""

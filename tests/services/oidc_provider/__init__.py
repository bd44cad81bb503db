"""A real, certified OpenID provider (npm `oidc-provider`), with made-up people and groups."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from joserfc.jwk import RSAKey

from tests.services import process

HERE = Path(__file__).parent
START_S = 90.0
SECRET = "a-secret-of-tests-0123456789abcdef"


@dataclass
class Provider:
    """A running provider; *people* are its groups by person or client."""

    issuer: str
    key: RSAKey
    people: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def token(self, client: str, *, kind: str = "jwt", audience: str = "sprout-api") -> str:
        """Return an access token by client credentials: a JWT, or opaque."""
        sent = {
            "grant_type": "client_credentials",
            "resource": f"urn:{kind}:{audience}",
            "scope": "api",
        }
        return str(self.asked("/token", sent, auth=(client, SECRET))["access_token"])

    def asked(self, path: str, sent: Mapping[str, str], **how: Any) -> dict[str, Any]:
        """Return the answer to a form sent to *path*."""
        answer = requests.post(f"{self.issuer}{path}", data=sent, timeout=60, **how)
        assert answer.ok, answer.text
        found: dict[str, Any] = answer.json()
        return found


def installed() -> None:
    """Install what package-lock.json pins, each held to its published hash, if it is not here."""
    if not (HERE / "node_modules" / "oidc-provider").is_dir():
        command = ["npm", "ci", "--ignore-scripts", "--silent"]
        subprocess.run(command, cwd=HERE, check=True, capture_output=True, timeout=100)


@contextmanager
def running(
    folder: Path, *, people: Mapping[str, Sequence[str]], callback: str
) -> Iterator[Provider]:
    """A provider for the block, whose web client sends browsers back to *callback*."""
    installed()
    (port,) = process.free_ports(1)
    issuer = f"http://127.0.0.1:{port}"
    key = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True)
    told = {
        "issuer": issuer,
        "port": port,
        "people": people,
        "keys": [key.as_dict(private=True)],
        "clients": [_web(callback), _cli(), *map(_program, people)],
    }
    log = folder / "oidc-provider.log"
    env = {"PATH": os.environ["PATH"], "PROVIDER": json.dumps(told), "NODE_ENV": "test"}
    started = process.launch(["node", "provider.js"], log, cwd=HERE, env=env)
    try:
        process.wait_until_ready(started, lambda: _ready(issuer), log, seconds=START_S)
        yield Provider(issuer, key, people)
    finally:
        process.stop(started, how=signal.SIGTERM)


def _ready(issuer: str) -> None:
    requests.get(f"{issuer}/.well-known/openid-configuration", timeout=60).raise_for_status()


def _web(callback: str) -> dict[str, Any]:
    return {
        "client_id": "sprout-api",
        "client_secret": SECRET,
        "redirect_uris": [callback],
        "post_logout_redirect_uris": [callback.replace("/authorize", "/sign-in")],
        "grant_types": ["authorization_code"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "client_secret_basic",
    }


def _cli() -> dict[str, Any]:
    return {
        "application_type": "native",
        "client_id": "sprout-cli",
        "redirect_uris": [],
        "response_types": [],
        "grant_types": ["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"],
        "token_endpoint_auth_method": "none",
    }


def _program(name: str) -> dict[str, Any]:
    return {
        "client_id": f"program-{name}" if name == "sprout-api" else name,
        "client_secret": SECRET,
        "redirect_uris": [],
        "response_types": [],
        "grant_types": ["client_credentials"],
        "token_endpoint_auth_method": "client_secret_basic",
    }

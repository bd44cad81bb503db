"""Secrets of HashiCorp Vault and OpenBao: a key of a version 2 key-value engine, read each time.

A reference's path begins with the engine's mount: `vault:kv/site-a/bmc#password` is the key
`password` of `site-a/bmc` in the engine at `kv/`.  Nothing is kept: a revoked token or a deleted
secret counts from the next use on.

Source: Vault's HTTP API, «KV secrets engine, version 2: read secret version».
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote

import requests

from actors.drivers.deadline import Deadline
from actors.drivers.errors import NotAllowed
from actors.drivers.outbound import Caller
from actors.drivers.reach import setting
from config import logs
from config.secrets import Resolver, Secret, Unavailable, Unresolved, from_environment

TOTAL_S: Final = 10.0
MOST_BYTES: Final = 1 << 20
MOST_SECRET: Final = 64 * 1024
"""Characters of one value: a key or a certificate fits, a disk image does not."""

_SAYS: Final[Mapping[int, str]] = MappingProxyType(
    {
        400: "Vault does not understand that path",
        403: "Vault's policies do not let this token read it, or it has expired",
        404: "Vault has no such secret, or its version was deleted",
    }
)
_AWAY: Final[Mapping[int, str]] = MappingProxyType(
    {
        429: "Vault asks to be asked less often",
        472: "this Vault is a disaster recovery standby",
        473: "this Vault is a performance standby",
        500: "Vault failed inside",
        502: "what Vault itself relies on failed",
        503: "Vault is sealed, or under maintenance",
    }
)


@dataclass(frozen=True, slots=True)
class Vault:
    """Where Vault answers, and the token it is asked with; *ca_file* replaces the system's CAs."""

    address: str
    token: Secret
    ca_file: Path | None = None


def resolvers(
    env: Mapping[str, str], prefix: str, address: str, token: str, ca_file: Path | None
) -> dict[str, Resolver]:
    """Return what resolves references in this process: *env* below *prefix*, and Vault, if any."""
    found = {"env": from_environment(env, prefix=prefix)}
    if address:
        logs.never_write([token])
        found["vault"] = from_vault(Vault(address, Secret(token), ca_file))
    return found


def from_vault(vault: Vault) -> Resolver:
    """Return a resolver of vault:PATH#KEY.

    It raises Unavailable for what may pass, and Unresolved for what asking again will not mend.
    """

    def resolve(name: str) -> Secret:
        path, _, key = name.partition("#")
        return _value(name, key, _read(vault, name, path))

    return resolve


def _read(vault: Vault, name: str, path: str) -> dict[str, Any]:
    mount, _, rest = path.partition("/")
    url = f"{vault.address.rstrip('/')}/v1/{quote(mount)}/data/{quote(rest)}"
    headers = {"X-Vault-Token": vault.token.reveal(), "X-Vault-Request": "true"}
    rules = setting(vault.address, total_s=TOTAL_S, most_bytes=MOST_BYTES)
    caller = Caller(vault.address, rules, Deadline.after(TOTAL_S), seen=lambda _: None)
    verify = str(vault.ca_file) if vault.ca_file else True
    try:
        response = caller.request("GET", url, json=None, headers=headers, verify=verify)
    except NotAllowed as exc:
        raise Unresolved(f"vault:{name}: {exc}") from None
    except (requests.RequestException, OSError) as exc:
        raise Unavailable(f"vault:{name}: Vault cannot be asked: {type(exc).__name__}") from None
    finally:
        caller.close()
    return _answer(name, response)


def _answer(name: str, response: requests.Response) -> dict[str, Any]:
    status = response.status_code
    if status in _AWAY or status >= 500:
        raise Unavailable(f"vault:{name}: {_AWAY.get(status, f'Vault answers {status}')}")
    if status != 200:
        raise Unresolved(f"vault:{name}: {_SAYS.get(status, f'Vault answers {status}')}")
    try:
        kept = response.json()["data"]["data"]
    except (ValueError, KeyError, TypeError, RecursionError):
        kept = None
    if not isinstance(kept, dict):
        raise Unresolved(f"vault:{name}: that is no answer of a version 2 key-value engine")
    return kept


def _value(name: str, key: str, kept: Mapping[str, Any]) -> Secret:
    value = kept.get(key)
    if value is None:
        raise Unresolved(f"vault:{name}: the secret has no key {key}")
    if not isinstance(value, str) or not 0 < len(value) <= MOST_SECRET:
        raise Unresolved(f"vault:{name}: the key is no text of 1 to {MOST_SECRET} characters")
    return Secret(value)

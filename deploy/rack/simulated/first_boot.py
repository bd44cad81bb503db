"""The installed system's first boot: the part of cloud-init that tells Sprout it is there.

Source: cloud-init's cc_phone_home, as deploy/image's first-boot does it.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import yaml
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploy.rack.simulated import http
from deploy.rack.simulated.http import Unanswered
from deploy.rack.simulated.pace import Pace

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PAUSES: Final = 3


class NoSeed(Exception):
    """Nothing on the disk says what this machine is to be."""


def host_key() -> str:
    """Make a key and return its public half, as sshd keeps it."""
    public = Ed25519PrivateKey.generate().public_key()
    return public.public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH).decode()


def read(seed: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """Return the instance-id and the cloud-config.  Raises NoSeed."""
    meta = _mapping(seed.get("meta-data", ""))
    text = seed.get("user-data", "")
    if "instance-id" not in meta or not text.startswith("#cloud-config"):
        raise NoSeed("there is no seed for this machine")
    return str(meta["instance-id"]), {**_mapping(seed.get("vendor-data", "")), **_mapping(text)}


def home_form(config: Mapping[str, Any], instance: str, key: str) -> dict[str, str]:
    """Return what phone_home posts; what does not exist is N/A, as cloud-init has it."""
    host = str(config.get("hostname") or "localhost")
    fields = {
        "pub_key_rsa": "N/A",
        "pub_key_ecdsa": "N/A",
        "pub_key_ed25519": key,
        "instance_id": instance,
        "hostname": host,
        "fqdn": str(config.get("fqdn") or host),
    }
    wanted = config["phone_home"].get("post", "all")
    names = wanted if isinstance(wanted, list) else list(fields)
    return {name: fields[name] for name in names if name in fields}


async def phone_home(seed: Mapping[str, str], key: str, *, source: str, pace: Pace) -> bool:
    """Call home as the seed says; whether that is done.  Raises NoSeed."""
    instance, config = read(seed)
    wish = config.get("phone_home")
    if not isinstance(wish, dict) or not wish.get("url"):
        return True
    fields = home_form(config, instance, key)
    url = str(wish["url"]).replace("$INSTANCE_ID", instance)
    for left in range(int(wish.get("tries", 10)) - 1, -1, -1):
        try:
            answer = await http.post(url, fields, source=source)
        except Unanswered:
            pass
        else:
            if 200 <= answer.status < 300:
                return True
        if left:
            await asyncio.sleep(_PAUSES * pace.retry)
    return False


def address(seed: Mapping[str, str]) -> str:
    """Return the machine's own address, from the seed's network-config.  Raises NoSeed."""
    devices = _mapping(seed.get("network-config", "")).get("ethernets") or {}
    for device in devices.values():
        for each in device.get("addresses") or ():
            return str(each).partition("/")[0]
    raise NoSeed("the seed gives this machine no address")


def _mapping(text: str) -> dict[str, Any]:
    try:
        found = yaml.load(text, _LOADER)  # noqa: S506 - one of the two safe loaders
    except yaml.YAMLError as exc:
        raise NoSeed(f"the seed is no YAML: {exc}") from exc
    return found if isinstance(found, dict) else {}

"""The records of a virtual rack, made through the public API: safe to make again."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.cli.client import Api
from edge.cli.inventory import enrolment
from edge.cli.local.folder import write_private

SITE: Final = "rack"
PREFIX: Final = "debian-12"
CIDR: Final = "10.77.0.0/24"
ADDRESS: Final = "10.77.0.1"
_RANGE: Final = ("10.77.0.10", "10.77.0.250")
_TEMPLATE: Final = "#cloud-config\nhostname: {{ hostname }}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """What stands in the database for the rack: references and ids as the API knows them."""

    site: str
    image: str
    profile: str
    machines: Mapping[str, str]
    """Host name → id."""


def ssh_key(folder: Path) -> str:
    """Return the operator's public key, making the pair in *folder* the first time."""
    private, public = folder / "id_ed25519", folder / "id_ed25519.pub"
    if not public.exists():
        folder.mkdir(mode=0o700, exist_ok=True)
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.OpenSSH, form.NoEncryption())
        write_private(private, pem.decode())
        line = key.public_key().public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH)
        public.write_text(f"{line.decode()} sprout\n", encoding="ascii")
    return public.read_text(encoding="ascii").strip()


def site(api: Api) -> str:
    """Return the id of the rack's site."""
    return _ensured(api, "/v1/sites", "slug", {"name": "Virtual rack", "slug": SITE})


def enrolled(api: Api, path: Path) -> None:
    """Write the site's enrolment to *path*."""
    write_private(path, enrolment(api, SITE))


def records(
    api: Api,
    site_id: str,
    rack: Mapping[str, Any],
    built: Mapping[str, Any],
    *,
    key: str,
    domain: str,
) -> Records:
    """Make what is missing of network, artifact, image, profile and machines."""
    network = {
        "siteId": site_id,
        "name": "rack",
        "cidr": CIDR,
        "rangeStart": _RANGE[0],
        "rangeEnd": _RANGE[1],
        "purpose": "provisioning",
        "domain": domain,
    }
    _ensured(api, "/v1/networks", "name", network)
    artifact = {"ref": PREFIX, "name": "Debian 12", "backend": "filesystem", "prefix": PREFIX}
    _ensured(api, "/v1/artifacts", "ref", artifact)
    # A new build is a new image: what was approved or is being served never changes under it.
    image = f"{built['name']}-{built['key'][:8]}"
    _ensured(api, "/v1/images", "ref", _image(image, built))
    profile = {
        "ref": "rack",
        "name": "Rack",
        "cloudConfigTemplate": _TEMPLATE,
        "sshKeys": [key],
    }
    _ensured(api, "/v1/profiles", "ref", profile)
    machines = {
        hostname(rack, one): _ensured(api, "/v1/machines", "hostname", _machine(rack, one, site_id))
        for one in rack["machines"]
    }
    return Records(site=site_id, image=image, profile="rack", machines=machines)


def hostname(rack: Mapping[str, Any], machine: Mapping[str, Any]) -> str:
    """Return the host name of one of the rack's machines."""
    return f"{rack['firmware']}-{machine['name']}"


def secret_name(rack: Mapping[str, Any], machine: Mapping[str, Any]) -> str:
    """Return the name under which the site finds the password of the machine's BMC."""
    return hostname(rack, machine).upper().replace("-", "_")


def _image(ref: str, built: Mapping[str, Any]) -> dict[str, Any]:
    paths = (built["kernel"], built["initrd"], built["image"])
    return {
        "ref": ref,
        "name": "Debian 12",
        "architecture": built["architecture"],
        "artifactRef": PREFIX,
        "kernelPath": built["kernel"],
        "initrdPath": built["initrd"],
        "imagePath": built["image"],
        "imageBytes": built["files"][built["image"]]["size"],
        "checksums": {path: built["files"][path]["sha256"] for path in paths},
        "kernelArgs": str(built["kernel_args"]).split(),
    }


def _machine(rack: Mapping[str, Any], one: Mapping[str, Any], site_id: str) -> dict[str, Any]:
    board = one["bmc"]
    return {
        "siteId": site_id,
        "hostname": hostname(rack, one),
        "architecture": "x86_64",
        "interfaces": [{"name": "eth0", "macAddress": one["mac"], "pxeEnabled": True}],
        "labels": {"firmware": rack["firmware"]},
        "bmc": {
            "protocol": "redfish",
            "address": board["address"],
            "system": board["system"],
            "username": board["username"],
            "secretRef": f"env:{secret_name(rack, one)}",
        },
    }


def _ensured(api: Api, path: str, name: str, body: Mapping[str, Any]) -> str:
    """Return the id of the row whose *name* is the body's; make it when there is none."""
    known = next((row for row in api.items(path) if row[name] == body[name]), None)
    return str((known or api.post(path, body))["id"])

"""The records of a rehearsal's rack, made through the public API: safe to make again."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.cli.client import Api
from edge.cli.local.folder import write_private
from edge.cli.sites import enrolment


@dataclass(frozen=True, slots=True, kw_only=True)
class Premises:
    """Under which names a kind of rack is recorded, and where its machines get addresses.

    *artifact* is the image's folder and reference; *address* is the site's own on the network.
    """

    slug: str
    name: str
    artifact: str
    title: str
    cidr: str
    address: str
    pool: tuple[str, str]
    simulated: bool = False


VIRTUAL: Final = Premises(
    slug="rack",
    name="Virtual rack",
    artifact="debian-12",
    title="Debian 12",
    cidr="10.77.0.0/24",
    address="10.77.0.1",
    pool=("10.77.0.10", "10.77.0.250"),
)
# All of 127/8 is this machine's own: any user can speak from any address of it.
SIMULATED: Final = Premises(
    slug="loopback",
    name="Simulated rack",
    artifact="simulated",
    title="Simulated image",
    cidr="127.64.0.0/16",
    address="127.64.0.1",
    pool=("127.64.1.0", "127.64.254.255"),
    simulated=True,
)
INVENTORY: Final = "inventory"
"""The artifact of the inventory image, and how references of such images begin."""

_PAGE: Final = 200
_AT_ONCE: Final = 4
"""Requests at a time, where there are many: more would only wait for one another."""

_TEMPLATE: Final = "#cloud-config\nhostname: {{ hostname }}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """What stands in the database for the rack: references and ids as the API knows them."""

    site: str
    image: str
    profile: str
    machines: Mapping[str, str]
    """Host name → id."""


def wants_commissioning(machine: Mapping[str, Any]) -> bool:
    """Whether *machine* is commissioned before it is provisioned.

    One that was so before is provisioned at once, if it failed: what an earlier start installed on
    it is overwritten, and it is handed on to nobody with that.
    """
    return machine["state"] in {"registered", "failed"} and machine["commissionedAt"] is None


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


def site(api: Api, premises: Premises) -> str:
    """Return the id of the rack's site."""
    return _ensured(api, "/v1/sites", "slug", {"name": premises.name, "slug": premises.slug})


def enrolled(api: Api, premises: Premises, path: Path) -> None:
    """Write the site's enrolment to *path*."""
    write_private(path, enrolment(api, premises.slug))


def records(
    api: Api,
    premises: Premises,
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
        "name": premises.slug,
        "cidr": premises.cidr,
        "rangeStart": premises.pool[0],
        "rangeEnd": premises.pool[1],
        "purpose": "provisioning",
        "domain": domain,
    }
    _answering(api, _ensured(api, "/v1/networks", "name", network))
    folder = {"backend": "filesystem", "prefix": premises.artifact}
    artifact = {"ref": premises.artifact, "name": premises.title, **folder}
    _ensured(api, "/v1/artifacts", "ref", artifact)
    # A new build is a new image: what was approved or is being served never changes under it.
    image = f"{built['name']}-{built['key'][:8]}"
    _ensured(api, "/v1/images", "ref", _image(premises, image, built))
    profile = {
        "ref": "rack",
        "name": "Rack",
        "cloudConfigTemplate": _TEMPLATE,
        "sshKeys": [key],
    }
    _ensured(api, "/v1/profiles", "ref", profile)
    machines = _machines(api, rack, site_id)
    return Records(site=site_id, image=image, profile="rack", machines=machines)


def inventory_image(api: Api, built: Mapping[str, Any]) -> None:
    """Have machines commissioned by the inventory image that was *built*."""
    folder = {"backend": "filesystem", "prefix": INVENTORY}
    _ensured(api, "/v1/artifacts", "ref", {"ref": INVENTORY, "name": "Inventory image", **folder})
    paths = (built["kernel"], built["initrd"])
    body = {
        "ref": f"{INVENTORY}-{built['key'][:8]}",
        "name": "Inventory image",
        "architecture": built["architecture"],
        "artifactRef": INVENTORY,
        "kernelPath": built["kernel"],
        "initrdPath": built["initrd"],
        "checksums": {path: built["files"][path]["sha256"] for path in paths},
        "kernelArgs": str(built["kernel_args"]).split(),
    }
    _ensured(api, "/v1/images", "ref", body)


def hostname(rack: Mapping[str, Any], machine: Mapping[str, Any]) -> str:
    """Return the host name of one of the rack's machines."""
    return f"{'sim' if rack.get('simulated') else rack['firmware']}-{machine['name']}"


def secret_name(rack: Mapping[str, Any], machine: Mapping[str, Any]) -> str:
    """Return the name under which the site finds the password of the machine's BMC."""
    if rack.get("simulated"):
        return "SIMULATED_RACK"  # one for all: a thousand variables would tell no more
    return hostname(rack, machine).upper().replace("-", "_")


def _machines(api: Api, rack: Mapping[str, Any], site_id: str) -> dict[str, str]:
    """Return the id of each machine by host name, making those that are missing."""
    rows = api.items("/v1/machines", siteId=site_id, limit=_PAGE)
    known = {row["hostname"]: str(row["id"]) for row in rows if row["state"] != "retired"}
    wanted = {hostname(rack, one): _machine(rack, one, site_id) for one in rack["machines"]}
    missing = [body for name, body in wanted.items() if name not in known]
    with ThreadPoolExecutor(_AT_ONCE) as callers:
        made = callers.map(lambda body: api.post("/v1/machines", body), missing)
        known |= {row["hostname"]: str(row["id"]) for row in made}
    return {name: known[name] for name in wanted}


def _image(premises: Premises, ref: str, built: Mapping[str, Any]) -> dict[str, Any]:
    paths = (built["kernel"], built["initrd"], built["image"])
    return {
        "ref": ref,
        "name": premises.title,
        "architecture": built["architecture"],
        "artifactRef": premises.artifact,
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
        "labels": {
            "firmware": rack["firmware"],
            **({"simulated": "true"} if rack.get("simulated") else {}),
        },
        "bmc": {
            "protocol": "redfish",
            "address": board["address"],
            "system": board["system"],
            "username": board["username"],
            "secretRef": f"env:{secret_name(rack, one)}",
        },
    }


def _answering(api: Api, network: str) -> None:
    """Have the site answer router solicitations, for which iPXE waits 16 s on every boot."""
    path = f"/v1/networks/{network}"
    found = api.get(path)
    if not found["answerRs"]:
        api.call("PATCH", path, body={"version": found["version"], "answerRs": True})


def _ensured(api: Api, path: str, name: str, body: Mapping[str, Any]) -> str:
    """Return the id of the row whose *name* is the body's; make it when there is none."""
    known = next((row for row in api.items(path) if row[name] == body[name]), None)
    return str((known or api.post(path, body))["id"])

"""What the contract says of the calls of booting machines, and of what their site answers them."""

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Annotated, Any, Final
from uuid import UUID

from flask_openapi.models.header import Header
from flask_openapi.models.media_type import MediaType
from flask_openapi.models.request_body import RequestBody
from flask_openapi.models.response import Response as Documented
from pydantic import BaseModel, Field

from edge.api.fields import MacAddress, Path

_RUN: Final = "018f6f47-5061-7273-8495-a6b7c8d9e0f1"
_MACHINE: Final = {"system": {"serial": "SN-7", "uuid": "4c4c4544-0042-3010-8033-b4c04f4d3232"}}
_MAC: Final = "52:54:00:12:34:56"


class LoaderRef(Path):
    mac: Annotated[MacAddress, Field(description="Of the card that it boots from.")]


class HostId(Path):
    host: Annotated[UUID, Field(description="The host's id.")]


class RunRef(BaseModel):
    """Of which rebuild a call is, and its proof; the URLs that a host is given hold both."""

    run: str = Field("", description="The run's id.")
    token: str = Field("", description="The run's token, which its site judges.")


_BODIES: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "answer": {
            "$schema": {"version": "1.0"},
            "product": {"fullname": "Proxmox VE", "product": "pve"},
            "iso": {"release": "9.1", "isorelease": "1"},
            "dmi": _MACHINE,
            "network_interfaces": [{"link": "enp2s0", "mac": _MAC}],
        },
        "installed": {
            "$schema": {"version": "1.2"},
            "product": {"fullname": "Proxmox VE", "short": "pve", "version": "9.1.1"},
            "dmi": _MACHINE,
            "fqdn": "pve-01.home.example",
            "machine-id": "0123456789abcdef0123456789abcdef",
            "network-interfaces": [
                {"name": "nic0", "mac": _MAC, "address": "10.0.0.7/24", "is-management": True}
            ],
            "ssh-public-host-keys": {
                "ed25519": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEVwaGVtZXJhbA"
            },
        },
        "phone-home": {"ip": "10.0.0.7", "hardware_id": _MACHINE["system"]["uuid"]},
    }
)
_WANTED: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType({"answer": {"type": "object"}})
"""What a body must be; a report may be anything: it is answered, and moves nothing."""


def sent(name: str) -> RequestBody:
    """Return what the contract says of the body of the call *name*: more may stand in it."""
    shown = {"schema": dict(_WANTED.get(name, {})), "example": dict(_BODIES[name])}
    content = {"application/json": MediaType.model_validate(shown)}
    return RequestBody(content=content, required=name in _WANTED)


def _text(kind: str, shown: str, what: str) -> Documented:
    content = MediaType.model_validate({"schema": {"type": "string"}, "example": shown})
    return Documented(description=what, content={kind: content})


_ELSEWHERE: Final = Documented(
    description=HTTPStatus.TEMPORARY_REDIRECT.phrase,
    headers={
        "Location": Header.model_validate(
            {"description": "The same call at the site.", "schema": {"type": "string"}}
        )
    },
)


def _served(kind: str, shown: str, what: str) -> dict[str, Documented]:
    return {"200": _text(kind, shown, what), "307": _ELSEWHERE}


SERVED: Final[Mapping[str, Mapping[str, Documented]]] = MappingProxyType(
    {
        "script": _served(
            "text/plain; charset=utf-8", "#!ipxe\nexit\n", "An iPXE script, of the site."
        ),
        "answer": {
            "200": Documented(
                description="The answer file, of the site.",
                content={
                    kind: MediaType.model_validate({"schema": form, "example": shown})
                    for kind, form, shown in (
                        (
                            "application/toml",
                            {"type": "string"},
                            '[global]\nfqdn = "pve-01.home.example"\n',
                        ),
                        (
                            "application/json",
                            {"type": "object"},
                            {"global": {"fqdn": "pve-01.home.example"}},
                        ),
                    )
                },
            ),
            "307": _ELSEWHERE,
        },
        "first-boot": _served("text/x-shellscript", "#!/bin/sh\nexit 0\n", "A script of the site."),
        "report": _served("text/plain; charset=utf-8", "ok\n", "It was heard, whatever it is."),
    }
)
"""What a call is answered: sent on here, then served by its site."""

"""A request and a response, without a socket."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from types import MappingProxyType

from deploy.rack.redfish.messages import Refused
from deploy.rack.redfish.shapes import Resource

_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    target: str
    """Path and query."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names in lower case."""
    body: bytes = b""

    @property
    def path(self) -> str:
        """The path without its query and without the slash at its end."""
        return self.target.partition("?")[0].rstrip("/")

    @property
    def asks_odata(self) -> bool:
        """Whether the query has an option of OData, none of which is supported here."""
        return any(word.startswith("$") for word in self.target.partition("?")[2].split("&"))


@dataclass(frozen=True, slots=True)
class Response:
    status: HTTPStatus
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def shown(
    resource: Resource,
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] = _NONE,
) -> Response:
    """Return *resource* as JSON, with its ETag in the header too."""
    tag = {"ETag": resource["@odata.etag"]} if "@odata.etag" in resource else {}
    return Response(status, _json(resource), {**_TYPE, **tag, **headers})


def refused(refusal: Refused, headers: Mapping[str, str] = _NONE) -> Response:
    return Response(refusal.message.status, _json(refusal.body()), {**_TYPE, **headers})


_TYPE = MappingProxyType({"Content-Type": "application/json"})


def _json(value: Resource) -> bytes:
    return json.dumps(value).encode()

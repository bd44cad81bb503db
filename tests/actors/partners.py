"""Other systems that runs of integration jobs speak to: they answer as a test tells them to."""

import json
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Partner:
    """*answers* are given in turn before the honest ones: (status, headers, body)."""

    url: str = ""
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    asked: list[Any] = field(default_factory=list)
    pages: dict[str, Any] = field(default_factory=dict)
    etag: str = ""
    token: str = ""
    entities: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    partner: Partner

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        body = self._heard()
        if body is None:
            return
        page = self.partner.pages.get(self.path)
        known = {"ETag": self.partner.etag} if self.partner.etag else {}
        if page is None:
            self.say(404, {}, b"no such page")
        elif known and self.headers.get("If-None-Match") == self.partner.etag:
            self.say(304, known, b"")
        else:
            self.say(200, known, page if isinstance(page, bytes) else json.dumps(page).encode())

    def do_POST(self) -> None:
        if self._heard() is not None:
            self.say(200, {}, b'{"ok":true}')

    def do_PUT(self) -> None:
        body = self._heard()
        if body is not None:
            self.say(*as_openmetadata(self.partner, self.path, self.headers, body))

    def _heard(self) -> bytes | None:
        """Return what was sent; None where the test said what to answer."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.partner.asked.append(Asked(self.command, self.path, headers, body))
        if self.partner.answers:
            self.say(*self.partner.answers.pop(0))
            return None
        return body

    def say(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


# What OpenMetadata 1.x demands of CreateStorageService and CreateContainer: its JSON schemas of
# those names forbid what they do not name, and its ingestion answers 400, 401, 404 and 415.
_NAME = re.compile(r"((?!::).){1,256}", re.DOTALL)
_FORMS: dict[str, tuple[set[str], dict[str, type]]] = {
    "/api/v1/services/storageServices": (
        {"name", "serviceType", "connection"},
        {
            "name": str,
            "displayName": str,
            "description": str,
            "serviceType": str,
            "connection": dict,
            "tags": list,
            "owner": dict,
        },
    ),
    "/api/v1/containers": (
        {"name", "service"},
        {
            "name": str,
            "displayName": str,
            "description": str,
            "service": str,
            "parent": dict,
            "dataModel": dict,
            "prefix": str,
            "numberOfObjects": int,
            "size": int,
            "fileFormats": list,
            "owner": dict,
            "tags": list,
            "extension": dict,
        },
    ),
}
_SERVICES = {"S3", "ADLS", "GCS", "CustomStorage"}


def as_openmetadata(
    partner: Partner, path: str, headers: Any, body: bytes
) -> tuple[int, dict[str, str], bytes]:
    """Answer a PUT of an entity as strictly as OpenMetadata does."""
    if path not in _FORMS:
        return 404, {}, b'{"code":404,"message":"HTTP 404 Not Found"}'
    if headers.get("Authorization") != f"Bearer {partner.token}":
        return 401, {}, b'{"code":401,"message":"Not authorized; Token not present"}'
    if headers.get("Content-Type") != "application/json":
        return 415, {}, b'{"code":415,"message":"HTTP 415 Unsupported Media Type"}'
    entity = json.loads(body)
    why = _faults(entity, *_FORMS[path])
    if why:
        return 400, {}, json.dumps({"code": 400, "message": why}).encode()
    if "service" in entity and entity["service"] not in partner.entities:
        message = f"storageService instance for {entity['service']} not found"
        return 404, {}, json.dumps({"code": 404, "message": message}).encode()
    name = ".".join(filter(None, (entity.get("service"), entity["name"])))
    status = 200 if name in partner.entities else 201
    partner.entities[name] = entity
    return status, {}, json.dumps({"fullyQualifiedName": name}).encode()


def _faults(entity: dict[str, Any], needed: set[str], known: dict[str, type]) -> list[str]:
    why = [f"{name} must not be null" for name in needed - set(entity)]
    why += [f'Unrecognized field "{name}"' for name in set(entity) - set(known)]
    why += [name for name, value in entity.items() if not isinstance(value, known.get(name, str))]
    if not _NAME.fullmatch(str(entity.get("name", ""))):
        why.append("name must match its pattern")
    kinds = {entity.get("serviceType", "S3")}
    if "connection" in entity:
        kinds.add(entity["connection"].get("config", {}).get("type"))
    return why + sorted(map(str, kinds - _SERVICES))


@contextmanager
def running():
    partner = Partner()
    handler = type("Of", (Handler,), {"partner": partner})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.handle_error = lambda *_: None
    server.daemon_threads = True
    partner.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield partner
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""A small Redfish BMC that does what a test tells it to, right or wrong."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ROOT = "/redfish/v1/"
SESSIONS = "/redfish/v1/SessionService/Sessions"
SYSTEM = "/redfish/v1/Systems/1"
RESET = f"{SYSTEM}/Actions/ComputerSystem.Reset"
MEDIA = f"{SYSTEM}/VirtualMedia/CD/Actions/VirtualMedia"
UUID = "9a4b7a10-1c65-4b17-9a09-7f3e6d2f0a11"
MAC = "52:54:00:aa:bb:01"
PASSWORD = "correct-horse-battery"

Fault = Callable[["Handler"], bool]
"""Answers a request wrongly and returns True, or leaves it alone and returns False."""


@dataclass
class Bmc:
    """The state, the log of requests, and the faults: each is asked before the honest answer."""

    power: str = "Off"
    boot: dict[str, Any] = field(
        default_factory=lambda: {
            "BootSourceOverrideEnabled": "Disabled",
            "BootSourceOverrideTarget": "None",
            "BootSourceOverrideMode": "Legacy",
            "BootSourceOverrideTarget@Redfish.AllowableValues": ["None", "Pxe", "Hdd", "Cd"],
        }
    )
    obeys: bool = True
    deaf_to: set[str] = field(default_factory=set)
    faults: list[Fault] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    logins: list[dict[str, Any]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    extra: dict[str, Any] = field(default_factory=dict)
    disc: dict[str, Any] = field(default_factory=lambda: {"Inserted": False, "Image": None})
    mac: str = MAC
    url: str = ""

    def count(self, method: str, path: str) -> int:
        return self.requests.count((method, path))

    def documents(self) -> dict[str, Any]:
        return {
            ROOT: {
                "Id": "root",
                "Name": "root",
                "Systems": {"@odata.id": "/redfish/v1/Systems"},
                "SessionService": {"@odata.id": "/redfish/v1/SessionService"},
                "Links": {"Sessions": {"@odata.id": SESSIONS}},
                "RedfishVersion": "1.6.0",
            },
            "/redfish/v1/Systems": {"Members": [{"@odata.id": SYSTEM}]},
            SYSTEM: self._system(),
            f"{SYSTEM}/EthernetInterfaces": {"Members": [{"@odata.id": f"{SYSTEM}/nic"}]},
            f"{SYSTEM}/nic": {"Id": "nic", "MACAddress": self.mac.upper(), "SpeedMbps": 10000},
            f"{SYSTEM}/Storage": {"Members": [{"@odata.id": f"{SYSTEM}/Storage/1"}]},
            f"{SYSTEM}/Storage/1": {"Drives": [{"@odata.id": f"{SYSTEM}/disk"}]},
            f"{SYSTEM}/disk": {
                "Id": "disk",
                "SerialNumber": "S3R1AL",
                "CapacityBytes": 10**12,
                "Model": "Fast",
                "Protocol": "NVMe",
                "Identifiers": [{"DurableNameFormat": "NAA", "DurableName": "5000C500AB"}],
            },
            f"{SYSTEM}/Processors": {"Members": [{"@odata.id": f"{SYSTEM}/cpu"}]},
            f"{SYSTEM}/cpu": {"Id": "cpu", "Model": "Eight", "TotalCores": 8, "TotalThreads": 16},
            f"{SYSTEM}/VirtualMedia": {
                "Name": "Virtual media",
                "Members": [{"@odata.id": f"{SYSTEM}/VirtualMedia/{it}"} for it in ("USB", "CD")],
            },
            f"{SYSTEM}/VirtualMedia/USB": {"Id": "USB", "MediaTypes": ["USBStick"]},
            f"{SYSTEM}/VirtualMedia/CD": {
                "Id": "CD",
                "Name": "Virtual CD",
                "MediaTypes": ["CD", "DVD"],
                "Actions": {
                    f"#VirtualMedia.{verb}Media": {"target": f"{MEDIA}.{verb}Media"}
                    for verb in ("Insert", "Eject")
                },
                **self.disc,
            },
            **self.extra,
        }

    def _system(self) -> dict[str, Any]:
        return {
            "Id": "1",
            "UUID": UUID,
            "SerialNumber": "SN-1",
            "Manufacturer": "Acme",
            "PowerState": self.power,
            "Boot": self.boot,
            "MemorySummary": {"TotalSystemMemoryGiB": 0.5},
            "Status": {"Health": "OK"},
            "Processors": {"@odata.id": f"{SYSTEM}/Processors"},
            "EthernetInterfaces": {"@odata.id": f"{SYSTEM}/EthernetInterfaces"},
            "Storage": {"@odata.id": f"{SYSTEM}/Storage"},
            "VirtualMedia": {"@odata.id": f"{SYSTEM}/VirtualMedia"},
            "Actions": {
                "#ComputerSystem.Reset": {
                    "target": RESET,
                    "ResetType@Redfish.AllowableValues": ["On", "ForceOff", "GracefulShutdown"],
                }
            },
        }

    def reset(self, kind: str) -> None:
        if self.obeys and kind not in self.deaf_to:
            self.power = "On" if kind == "On" else "Off"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    bmc: Bmc

    def answer(self, status: int, body: Any = None, **headers: str) -> None:
        self.raw(status, b"" if body is None else json.dumps(body).encode(), **headers)

    def raw(self, status: int, data: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, BrokenPipeError):
            self.close_connection = True

    def log_message(self, *args: object) -> None:
        pass

    def _serve(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        self.body = json.loads(self.rfile.read(size)) if size else None
        self.bmc.requests.append((self.command, self.path))
        if not any(fault(self) for fault in list(self.bmc.faults)):
            self._honestly()

    do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815 - http.server's names

    def _honestly(self) -> None:
        if (self.command, self.path) == ("POST", SESSIONS):
            self._log_in()
        elif self.path != ROOT and self.headers.get("X-Auth-Token") not in self.bmc.tokens:
            self.answer(401, {"error": {"message": "who are you?"}})
        elif self.command == "DELETE":
            self.bmc.tokens.discard(self.path.rpartition("/")[2])
            self.answer(204)
        elif self.path.startswith(MEDIA):
            self._change_disc()
        elif self.command == "POST":
            self.bmc.reset(self.body["ResetType"])
            self.answer(204)
        elif self.command == "PATCH":
            if self.bmc.obeys:
                self.bmc.boot |= self.body["Boot"]
            self.answer(200, {})
        else:
            found = self.bmc.documents().get(self.path)
            self.answer(404, {}) if found is None else self.answer(200, found)

    def _change_disc(self) -> None:
        if self.path == f"{MEDIA}.EjectMedia":
            self.bmc.disc = {"Inserted": False, "Image": None}
        elif self.bmc.disc["Inserted"]:
            self.answer(409, {"error": {"code": "Base.1.0.ResourceInUse", "message": "full"}})
            return
        elif set(self.body) != {"Image"}:
            self.answer(400, {"error": {"code": "Base.1.0.ActionParameterUnknown"}})
            return
        elif self.bmc.obeys:
            self.bmc.disc = {"Inserted": True, "Image": self.body["Image"]}
        self.answer(204)

    def _log_in(self) -> None:
        self.bmc.logins.append(self.body)
        if self.body["Password"] != PASSWORD:
            said = f"{self.body['Password']} is wrong"
            self.answer(401, {"error": {"code": "Base.1.0.NoAccess", "message": said}})
            return
        token = f"token-{len(self.bmc.logins)}"
        self.bmc.tokens.add(token)
        self.answer(201, {}, X_Auth_Token=token, Location=f"{SESSIONS}/{token}")


@contextmanager
def running(tls: ssl.SSLContext | None = None, **state: Any) -> Iterator[Bmc]:
    """A BMC on a loopback port for the block; https with *tls*."""
    bmc = Bmc(**state)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"bmc": bmc}))
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    bmc.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield bmc
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def times(count: int, fault: Fault) -> Fault:
    """Have *fault* happen at most *count* times."""
    left = [count]

    def limited(handler: Handler) -> bool:
        if not left[0] or not fault(handler):
            return False
        left[0] -= 1
        return True

    return limited


def on(method: str, path: str, act: Callable[[Handler], None]) -> Fault:
    """Do *act* instead of the honest answer to *method* *path*."""

    def fault(handler: Handler) -> bool:
        if (handler.command, handler.path) != (method, path):
            return False
        act(handler)
        return True

    return fault

"""A provider that keeps to deploy/providers/openapi.yaml, strictly, in this process.

It refuses what a real one refuses: no token, no key, a key for something else, unknown fields; and
does what it is told to do wrong: `faults` are answered instead, one for each exchange.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from typing import Any
from urllib.parse import unquote

TOKEN = "provider-token-canary"  # a word to look for where it must not be

Fault = Callable[[Any], None]
"""Answers in its own way, by the handler of the exchange."""


@dataclass
class Seen:
    """One exchange, as it came."""

    method: str
    path: str
    key: str
    request_id: str
    body: Any
    status: int = 0
    answer: Any = None


@dataclass
class Provider:
    """What it holds, what it saw, and what it does wrong next."""

    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    allocations: dict[str, dict[str, Any]] = field(default_factory=dict)
    reservations: dict[str, dict[str, Any]] = field(default_factory=dict)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    results: list[dict[str, Any]] = field(default_factory=list)
    networks: list[dict[str, Any]] = field(default_factory=list)
    machines: dict[str, str] = field(default_factory=dict)
    hosts: dict[str, dict[str, Any]] = field(default_factory=dict)
    answers: dict[str, tuple[Any, int, Any]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def asked(self, *methods: str) -> list[str]:
        """Return `METHOD /path` of what changed something, or of *methods*, in order."""
        wanted = methods or ("POST", "PUT", "DELETE")
        return [f"{each.method} {each.path}" for each in self.seen if each.method in wanted]


class _Refused(Exception):
    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


def answer(status: int, body: bytes = b"", **headers: str) -> Fault:
    """Return a fault that answers this."""

    def fault(handler: Any) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        with suppress(OSError):
            handler.wfile.write(body)

    return fault


def done_without_a_word(handler: Any) -> None:
    """Do what is asked, and hang up before it is answered."""
    handler.work()
    handler.connection.close()


def hang_up(handler: Any) -> None:
    handler.connection.close()


_FIELDS = {
    "/allocations": {"network", "gateway", "first", "last", "mac", "hostname"},
    "/networks": {"name", "cidr", "gateway"},
    "/reservations": {"address", "hostname", "network"},
    "/records": {"type", "address", "ttl"},
    "/runs": {"machine", "hostname", "mac", "tests"},
    "/allocate": {"machine", "labels"},
    "/release": {"machine"},
    "/hosts": {"hostname", "ip", "hardware_id", "server_type"},
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    provider: Provider

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def handle_any(self) -> None:
        with self.provider.lock:
            fault = self.provider.faults.pop(0) if self.provider.faults else None
        self.body = self._body()
        told = self.headers
        self.provider.seen.append(
            Seen(
                self.command,
                unquote(self.path),
                told.get("Idempotency-Key", ""),
                told.get("X-Request-Id", ""),
                self.body,
            )
        )
        if fault is not None:
            fault(self)
            self.close_connection = True
            return
        seen = self.provider.seen[-1]
        seen.status, seen.answer = self.work()
        self.send(seen.status, seen.answer)

    do_GET = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815 - http.server's names

    def work(self) -> tuple[int, Any]:
        with self.provider.lock:
            try:
                return self._once()
            except _Refused as exc:
                return exc.status, {"title": "refused", "status": exc.status, "detail": str(exc)}

    def send(self, status: int, body: Any) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        kind = "application/problem+json" if status >= 400 else "application/json"
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _body(self) -> Any:
        length = int(self.headers.get("Content-Length") or 0)
        return json.loads(self.rfile.read(length)) if length else None

    def _once(self) -> tuple[int, Any]:
        """Answer as before where the key was seen; refuse it for anything else."""
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise _Refused(401, "want a bearer token")
        if self.command == "GET":
            return self._do()
        key = self.headers.get("Idempotency-Key", "")
        if not 0 < len(key) <= 255:
            raise _Refused(400, "want an Idempotency-Key")
        asked = (self.command, self.path, self.body)
        if key in self.provider.answers:
            before, status, body = self.provider.answers[key]
            if before != asked:
                raise _Refused(422, "that key was for something else")
            return status, body
        status, body = self._do()
        self.provider.answers[key] = asked, status, body
        return status, body

    def _do(self) -> tuple[int, Any]:
        place, _, name = self.path[1:].partition("/")
        does = getattr(self, f"_{self.command.lower()}_{place}", None)
        if does is None:
            raise _Refused(404, "no such path")
        if self.command in {"POST", "PUT"}:
            self._demand_fields(f"/{place}")
        return does(unquote(name))

    def _demand_fields(self, place: str) -> None:
        if not isinstance(self.body, dict) or not set(self.body) <= _FIELDS[place]:
            raise _Refused(422, f"want {sorted(_FIELDS[place])}")

    def _get_health(self, _name: str) -> tuple[int, Any]:
        return 200, {"status": "ok"}

    def _post_allocations(self, _name: str) -> tuple[int, Any]:
        taken = {each["address"] for each in self.provider.allocations.values()}
        first, last = (int(IPv4Address(self.body[end])) for end in ("first", "last"))
        free = (str(IPv4Address(n)) for n in range(last, first - 1, -1))
        address = next((each for each in free if each not in taken), None)
        if address is None:
            raise _Refused(409, "the network is full")
        made = {"id": f"a-{len(self.provider.answers)}", "address": address}
        self.provider.allocations[made["id"]] = made | {"mac": self.body["mac"]}
        return 201, made

    def _get_allocations(self, name: str) -> tuple[int, Any]:
        if name not in self.provider.allocations:
            raise _Refused(404, "no such allocation")
        return 200, self.provider.allocations[name]

    def _delete_allocations(self, name: str) -> tuple[int, Any]:
        return self._dropped(self.provider.allocations, name)

    def _get_networks(self, _name: str) -> tuple[int, Any]:
        return 200, {"items": self.provider.networks}

    def _post_networks(self, _name: str) -> tuple[int, Any]:
        if any(each["cidr"] == self.body["cidr"] for each in self.provider.networks):
            raise _Refused(409, "that network is there")
        self.provider.networks.append({"id": f"n-{len(self.provider.networks)}", **self.body})
        return 201, self.provider.networks[-1]

    def _put_reservations(self, name: str) -> tuple[int, Any]:
        others = (held for mac, held in self.provider.reservations.items() if mac != name)
        if any(held["address"] == self.body["address"] for held in others):
            raise _Refused(409, "that address is reserved for another MAC")
        self.provider.reservations[name] = self.body
        return 200, {"id": name, **self.body}

    def _delete_reservations(self, name: str) -> tuple[int, Any]:
        return self._dropped(self.provider.reservations, name)

    def _get_leases(self, _name: str) -> tuple[int, Any]:
        held = self.provider.reservations.items()
        return 200, {"items": [{"mac": mac, "address": each["address"]} for mac, each in held]}

    def _put_records(self, name: str) -> tuple[int, Any]:
        held = self.provider.records.get(name)
        if held is not None and held.get("foreign"):
            raise _Refused(409, "that name is somebody else's")
        self.provider.records[name] = self.body
        return 200, {"id": name, **self.body}

    def _delete_records(self, name: str) -> tuple[int, Any]:
        return self._dropped(self.provider.records, name)

    def _put_hosts(self, name: str) -> tuple[int, Any]:
        self.provider.hosts[name] = self.body
        return 200, None

    def _post_runs(self, _name: str) -> tuple[int, Any]:
        run = {"id": f"r-{len(self.provider.runs)}", "state": "running"}
        bad = any(each["outcome"] == "fail" for each in self.provider.results)
        ended = {"state": "failed" if bad else "passed", "results": self.provider.results}
        self.provider.runs[run["id"]] = run | ended
        return 202, run

    def _get_runs(self, name: str) -> tuple[int, Any]:
        if name not in self.provider.runs:
            raise _Refused(404, "no such run")
        return 200, self.provider.runs[name]

    def _post_allocate(self, _name: str) -> tuple[int, Any]:
        if self.body["machine"] in self.provider.machines:
            raise _Refused(409, "that machine is allocated")
        self.provider.machines[self.body["machine"]] = "m"
        return 200, {"id": self.body["machine"], "machine": self.body["machine"]}

    def _post_release(self, _name: str) -> tuple[int, Any]:
        if self.provider.machines.pop(self.body["machine"], None) is None:
            raise _Refused(404, "that machine is not allocated")
        return 204, None

    def _dropped(self, held: dict[str, Any], name: str) -> tuple[int, Any]:
        if held.pop(name, None) is None:
            raise _Refused(404, "nothing is held under that name")
        return 204, None


def _local() -> ThreadingHTTPServer:
    return ThreadingHTTPServer(("127.0.0.1", 0), _Handler)


@contextmanager
def running(listening: Callable[[], ThreadingHTTPServer] = _local) -> Iterator[Provider]:
    """A provider for the block, on a port of loopback, or where *listening* has it."""
    provider = Provider()
    server = listening()
    server.RequestHandlerClass = type("Handler", (_Handler,), {"provider": provider})
    server.daemon_threads = True
    provider.url = f"http://{server.server_address[0]}:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

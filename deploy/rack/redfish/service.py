"""One request in, one response out: authentication, preconditions, and the few things to change.

Source: DMTF DSP0266 §7 (protocol), §13 (security).
"""

import base64
import binascii
import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from threading import Lock
from typing import Final, Protocol

from deploy.rack import boot
from deploy.rack.boot import Override
from deploy.rack.disc import Disc, NoImage
from deploy.rack.disc import Full as Occupied
from deploy.rack.hardware import Hardware
from deploy.rack.power import PowerState, Reset, WrongState
from deploy.rack.redfish import bodies, documents, shapes, tree
from deploy.rack.redfish.exchange import Request, Response, refused, shown
from deploy.rack.redfish.messages import Refused
from deploy.rack.redfish.sessions import LONGEST, SHORTEST, Full, Session, Sessions
from deploy.rack.redfish.shapes import Resource

log = logging.getLogger(__name__)

_RESET: Final = "ComputerSystem.Reset"
_INSERT: Final = "VirtualMedia.InsertMedia"
_OVERRIDE: Final = "BootSourceOverride"
_CHALLENGE: Final = {"WWW-Authenticate": 'Basic realm="BMC"'}

_OFF_REQUIRED: Final = frozenset({Reset.ON})
_SETTLED: Final = frozenset({PowerState.ON, PowerState.OFF})

Handler = Callable[[Request], Response]


@dataclass(frozen=True, slots=True)
class Credentials:
    username: str
    password: str

    def fit(self, username: str, password: str) -> bool:
        given, ours = f"{username}:{password}", f"{self.username}:{self.password}"
        return secrets.compare_digest(given.encode(), ours.encode())


class Board(Protocol):
    """What a BMC governs."""

    @property
    def hardware(self) -> Hardware: ...

    @property
    def state(self) -> PowerState: ...

    @property
    def override(self) -> Override: ...

    @property
    def fault(self) -> str: ...

    @property
    def disc(self) -> Disc | None: ...

    def set_override(self, override: Override) -> None: ...

    def press(self, reset: Reset) -> None:
        """Begin *reset* and return at once, or raise WrongState."""


class MethodNotAllowed(Refused):
    def __init__(self, allowed: str) -> None:
        super().__init__("OperationNotAllowed")
        self.allowed = allowed


class Service:
    """The BMC of one machine.  Answers from any thread, one request at a time, as BMCs do."""

    def __init__(self, machine: Board, credentials: Credentials) -> None:
        self.machine = machine
        self._credentials = credentials
        self._sessions = Sessions()
        self._lock = Lock()

    def answer(self, request: Request) -> Response:
        try:
            with self._lock:
                return self._route(request)
        except MethodNotAllowed as refusal:
            return refused(refusal, {"Allow": refusal.allowed})
        except Refused as refusal:
            unknown = refusal.message.status is HTTPStatus.UNAUTHORIZED
            return refused(refusal, _CHALLENGE if unknown else {})
        except Exception:
            log.exception("bmc.failed", extra={"target": request.target})
            return refused(Refused("InternalError"))

    def _route(self, request: Request) -> Response:
        resources = tree.tree(self._view())
        if document := documents.find(request.path, resources):
            _method({"GET": self._get, "HEAD": self._get}, request)
            return document
        self._authenticate(request)
        methods = self._methods(request.path, resources)
        if not methods:
            raise Refused("ResourceMissingAtURI", request.target)
        handler = _method(methods, request)
        if request.asks_odata:
            raise Refused("QueryNotSupported")
        resource = resources.get(request.path, {})
        _check_precondition(request, resource)
        return handler(request)

    def _methods(self, path: str, resources: Mapping[str, Resource]) -> dict[str, Handler]:
        """Return what can be done with *path*; nothing when there is no such thing."""
        hardware = self.machine.hardware
        methods: dict[str, Handler] = {}
        if path in resources:
            methods |= {"GET": self._get, "HEAD": self._get}
        if path == shapes.system_path(hardware):
            methods["PATCH"] = self._set_boot
        if path == shapes.reset_path(hardware):
            methods["POST"] = self._reset
        if self.machine.disc is not None:
            methods |= self._disc_methods(path)
        if path == shapes.SESSION_SERVICE:
            methods["PATCH"] = self._set_timeout
        if path == shapes.SESSIONS:
            methods["POST"] = self._log_in
        if path in resources and path.startswith(f"{shapes.SESSIONS}/"):
            methods["DELETE"] = self._log_out
        return methods

    def _authenticate(self, request: Request) -> None:
        headers = request.headers
        if request.method == "POST" and request.path == shapes.SESSIONS:
            return
        if token := headers.get("x-auth-token"):
            known = self._sessions.user_of(token) is not None
        else:
            known = self._credentials.fit(*_basic(headers.get("authorization", "")))
        if not known:
            raise Refused("NoValidSession")

    def _get(self, request: Request) -> Response:
        resource = self._resource(request.path)
        if request.headers.get("if-none-match") == resource["@odata.etag"]:
            return Response(HTTPStatus.NOT_MODIFIED, headers={"ETag": resource["@odata.etag"]})
        return shown(resource)

    def _set_boot(self, request: Request) -> Response:
        machine, body = self.machine, bodies.parse(request.body)
        resource = self._resource(request.path)
        bodies.only_writable(body, resource, "Boot")
        wanted = bodies.inner(body, "Boot")
        names = [f"{_OVERRIDE}{what}" for what in ("Target", "Enabled", "Mode")]
        bodies.only_writable(wanted, resource["Boot"], *names)
        firmware = machine.hardware.firmware
        able = boot.targets(firmware, disc=machine.disc is not None)
        target = bodies.choice(wanted, names[0], able)
        enabled = bodies.choice(wanted, names[1], tuple(boot.Enabled))
        bodies.choice(wanted, names[2], (boot.MODES[firmware],))
        machine.set_override(boot.changed(machine.override, target=target, enabled=enabled))
        log.info("bmc.boot-set", extra={"machine": machine.hardware.name, "boot": wanted})
        return self._done(request.path)

    def _reset(self, request: Request) -> Response:
        machine, body = self.machine, bodies.parse(request.body or b"{}")
        reset = bodies.parameter(body, _RESET, "ResetType", Reset)
        log.info("bmc.reset", extra={"machine": machine.hardware.name, "reset": reset})
        try:
            machine.press(reset)
        except WrongState as exc:
            raise _refusal_of(exc) from exc
        return Response(HTTPStatus.NO_CONTENT)

    def _disc_methods(self, path: str) -> dict[str, Handler]:
        actions = {
            shapes.insert_path("Insert"): self._insert,
            shapes.insert_path("Eject"): self._eject,
        }
        return {"POST": actions[path]} if path in actions else {}

    def _insert(self, request: Request) -> Response:
        url = bodies.address(bodies.parse(request.body), _INSERT, "Image")
        log.info("bmc.insert", extra={"machine": self.machine.hardware.name, "image": url})
        try:
            _drive(self.machine).insert(url)
        except Occupied:
            raise Refused("ResourceInUse") from None
        except NoImage:
            raise Refused("CouldNotEstablishConnection", url) from None
        return Response(HTTPStatus.NO_CONTENT)

    def _eject(self, request: Request) -> Response:
        if bodies.parse(request.body or b"{}"):
            raise Refused("UnrecognizedRequestBody")
        _drive(self.machine).eject()
        return Response(HTTPStatus.NO_CONTENT)

    def _set_timeout(self, request: Request) -> Response:
        body = bodies.parse(request.body)
        bodies.only_writable(body, self._resource(request.path), "SessionTimeout")
        self._sessions.timeout = bodies.number(body, "SessionTimeout", SHORTEST, LONGEST)
        return self._done(request.path)

    def _log_in(self, request: Request) -> Response:
        session = self._session_for(bodies.parse(request.body))
        path = f"{shapes.SESSIONS}/{session.id}"
        headers = {"Location": path, "X-Auth-Token": session.token}
        return shown(self._resource(path), HTTPStatus.CREATED, headers)

    def _session_for(self, body: Resource) -> Session:
        user, password = bodies.text(body, "UserName"), bodies.text(body, "Password")
        bodies.only_writable(body, {}, "UserName", "Password")
        if not self._credentials.fit(user, password):
            raise Refused("NoValidSession")
        try:
            return self._sessions.open(user)
        except Full:
            raise Refused("SessionLimitExceeded") from None

    def _log_out(self, request: Request) -> Response:
        self._sessions.close(request.path.rpartition("/")[2])
        return Response(HTTPStatus.NO_CONTENT)

    def _done(self, path: str) -> Response:
        tag = self._resource(path)["@odata.etag"]
        return Response(HTTPStatus.NO_CONTENT, headers={"ETag": tag})

    def _resource(self, path: str) -> Resource:
        return tree.tree(self._view())[path]

    def _view(self) -> shapes.View:
        machine = self.machine
        return shapes.View(
            hardware=machine.hardware,
            power=machine.state,
            override=machine.override,
            fault=machine.fault,
            disc=None if machine.disc is None else machine.disc.image,
            session_timeout=self._sessions.timeout,
            sessions=tuple((session.id, session.user) for session in self._sessions.all()),
        )


def _drive(machine: Board) -> Disc:
    if machine.disc is None:
        raise Refused("ResourceMissingAtURI", shapes.DISC)
    return machine.disc


def _method(methods: Mapping[str, Handler], request: Request) -> Handler:
    if request.method not in methods:
        raise MethodNotAllowed(", ".join(methods))
    return methods[request.method]


def _check_precondition(request: Request, resource: Resource) -> None:
    """RFC 9110 §13.1.1; a weak tag is compared as if it were strong, since clients copy either."""
    wanted = request.headers.get("if-match")
    if wanted is None or request.method not in ("PATCH", "DELETE"):
        return
    tags = {tag.strip().removeprefix("W/") for tag in wanted.split(",")}
    if not tags & {"*", resource["@odata.etag"]}:
        raise Refused("PreconditionFailed")


def _basic(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return user, password


def _refusal_of(wrong: WrongState) -> Refused:
    if wrong.state not in _SETTLED:
        return Refused("ResourceInUse")
    to_be = "Off" if wrong.reset in _OFF_REQUIRED else "On"
    return Refused(f"ChassisPowerState{to_be}Required", shapes.CHASSIS_ID)

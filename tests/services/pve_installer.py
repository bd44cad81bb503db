"""The Proxmox VE installer as the network sees it: loaded, answered, reporting, first booted.

Source: specification of provisioning, §2.7 and §2.8.  Where the real one waits in a debug shell for
a person, this raises Stopped.  Its HTTP client is as theirs: what is posted is posted once, and not
again where a 307 points (ureq, "redirects").
"""

import json
import os
import re
import shutil
import socket
import subprocess
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import pycdlib

from tests.services import pve_answer
from tests.services.pve_board import Board

CLIENT_S: Final = 60.0
"""Seconds that the installer waits for any call."""

LARGEST_ANSWER: Final = 10 << 20
LARGEST_SCRIPT: Final = 1 << 20
_LARGEST_FILE: Final = 16 << 30

_JSON: Final = "Content-Type: application/json; charset=utf-8"
_ACCEPT: Final = "Accept: application/json, application/toml;q=0.5"
_FETCHED: Final = re.compile(
    r"^(?P<verb>kernel|initrd|chain)(?P<options>( --\S+( [^\s-]\S*)?)*?)"
    r" (?P<url>https?://\S+)(?P<more>[^|\n]*)",
    re.MULTILINE,
)
_CARRIED_ON: Final = frozenset({301, 302, 303, 307, 308})
_TAKEN: Final = frozenset({200, 201})

Dial = Callable[[str, int], socket.socket]


class Stopped(Exception):
    """The host waits for a person, at *step*."""

    def __init__(self, step: str, why: str) -> None:
        super().__init__(f"{step}: {why}")
        self.step = step


@dataclass(frozen=True, slots=True)
class Reply:
    """What was answered."""

    status: int
    kind: str
    body: bytes
    location: str = ""


@dataclass(frozen=True, slots=True)
class Mode:
    """Where an installer asks, and by which word: /auto-installer-mode.toml of its ISO."""

    url: str
    token: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What a boot script names: the kernel and its arguments, and images by their names."""

    script: str
    kernel: str
    arguments: str
    images: dict[str, str]


@dataclass
class Installer:
    """One host of *board* in *folder*, an empty one.

    It calls from *source*.  *at* is where every URL really is, where tests have no network of their
    own; *dial* makes its connections in some other way, and *words* begin a command in its network.
    """

    board: Board
    folder: Path
    source: str = ""
    at: tuple[str, int] | None = None
    dial: Dial | None = None
    words: Sequence[str] = ()
    told: list[tuple[str, str, int]] = field(default_factory=list)
    """Each call: its method, path without the query, and status."""

    # --- loading: what firmware and iPXE do ---

    def boot(self, base: str) -> Loaded:
        """Fetch the entry of its MAC at *base*, and the script that it chains; return that."""
        url = f"{base}/ipxe/{self.board.macs[0]}"
        for _ in range(5):
            script = self._demanded("boot script", url).body.decode()
            found = list(_FETCHED.finditer(script))
            chained = next((each["url"] for each in found if each["verb"] == "chain"), "")
            if any(each["verb"] == "kernel" for each in found):
                return _loaded(script, found)
            if not chained:
                raise Stopped("boot script", "it starts its own disk")
            url = chained
        raise Stopped("boot script", "it chains for ever")

    def load(self, loaded: Loaded) -> Mode:
        """Fetch what *loaded* names, start it, and return what its ISO says."""
        if "proxmox-start-auto-installer" not in loaded.arguments.split():
            raise Stopped("installer", "it shows its menu")
        for name, url in {"vmlinuz": loaded.kernel, **loaded.images}.items():
            self._stored(url, self.folder / name)
        if "proxmox.iso" not in loaded.images:
            raise Stopped("installer", "no device with the ISO: loop devices are not looked at")
        return prepared(self.folder / "proxmox.iso")

    # --- installing ---

    def ask(self, mode: Mode) -> dict[str, Any]:
        """Ask for the answer, once; return it as it is read."""
        body = json.dumps(self.board.asks()).encode()
        bearer = [f"Authorization: Bearer {mode.token}"] if mode.token else []
        reply = self.call("POST", mode.url, body, _JSON, _ACCEPT, *bearer, most=LARGEST_ANSWER)
        if reply.status not in _TAKEN:
            raise Stopped("answer", f"it is answered {reply.status}")
        try:
            return pve_answer.taken(_read(reply))
        except (ValueError, pve_answer.Unfit) as exc:
            raise Stopped("answer", str(exc)) from exc

    def install(self, answer: dict[str, Any]) -> str:
        """Take the first boot's script, install, and report; return what becomes of the host.

        That is its reboot-mode: reboot or power-off.
        """
        first = answer.get("first-boot", {})
        if first.get("source") == "from-url":
            reply = self._demanded("first-boot script", first["url"], most=LARGEST_SCRIPT)
            (self.folder / "first-boot").write_bytes(reply.body)
            (self.folder / "pending-first-boot-setup").touch()
        (self.folder / "authorized_keys").write_text(
            "".join(f"{key}\n" for key in answer["global"].get("root-ssh-keys", []))
        )
        ends = answer["global"].get("reboot-mode", "reboot")
        try:
            self._report(answer)
        except Stopped:
            if not answer["global"].get("reboot-on-error"):
                raise
        return str(ends)

    def _report(self, answer: dict[str, Any]) -> None:
        hook = answer.get("post-installation-webhook")
        if hook is None:
            return
        body = self.board.installed(answer, token=hook.get("auth-token", ""))
        reply = self.call("POST", hook["url"], json.dumps(body).encode(), _JSON)
        if reply.status not in _TAKEN:
            raise Stopped("webhook", f"it is answered {reply.status}")

    # --- the first boot ---

    def first_boot(self, *, tries: int = 60, pause: int = 1) -> int:
        """Run the script as the oneshot does, where it is pending; return how it ended."""
        pending = self.folder / "pending-first-boot-setup"
        if not pending.exists():
            return 0
        home = self._home()
        env = {**os.environ, "SPROUT_TRIES": str(tries), "SPROUT_PAUSE": str(pause), **home}
        shell = shutil.which("sh")
        command = [*self.words, str(shell), str(self.folder / "first-boot")]
        status = subprocess.run(command, env=env, check=False, timeout=600).returncode
        if status == 0:
            pending.unlink()
        return status

    def _home(self) -> dict[str, str]:
        """Have the script's tools be where this host is; return their environment."""
        config = [f'interface = "{self.source}"'] if self.source else []
        if self.at is not None:
            config.append(f'connect-to = "::{self.at[0]}:{self.at[1]}"')
        (self.folder / ".curlrc").write_text("\n".join(config))
        tools = self.folder / "bin"
        tools.mkdir(exist_ok=True)
        if self.source:
            # On loopback all addresses are one machine's, whose kernel names another.
            (tools / "ip").write_text(f"#!/bin/sh\necho x dev lo src {self.source} uid 0\n")
            (tools / "ip").chmod(0o755)
        path = f"{tools}:{os.environ['PATH']}"
        home = str(self.folder)
        return {"CURL_HOME": home, "HOME": home, "PATH": path, "no_proxy": "*"}

    # --- all of it ---

    def run(self, base: str) -> dict[str, Any]:
        """Go from the boot script to the end of the installation; return the answer."""
        answer = self.ask(self.load(self.boot(base)))
        self.install(answer)
        return answer

    # --- HTTP ---

    def call(
        self, method: str, url: str, body: bytes = b"", *fields: str, most: int = LARGEST_SCRIPT
    ) -> Reply:
        """Return what one call is answered with.  Raises Stopped where nothing that fits comes."""
        parts = urlsplit(url)
        path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        length = [f"Content-Length: {len(body)}"] if method == "POST" else []
        own = (f"Host: {parts.netloc}", "User-Agent: ureq/3.0.12", *fields, *length)
        head = "\r\n".join((f"{method} {path} HTTP/1.1", *own, "Connection: close", "", ""))
        try:
            with self._connected(parts.hostname or "", parts.port or 80) as sock:
                sock.sendall(head.encode() + body)
                reply = _answered(sock, method, most)
        except (OSError, HTTPException) as exc:
            raise Stopped(parts.path, f"{type(exc).__name__}: {exc}") from exc
        self.told.append((method, parts.path, reply.status))
        if len(reply.body) > most:
            raise Stopped(parts.path, f"more than {most} bytes")
        return reply

    def _demanded(self, step: str, url: str, *, most: int = _LARGEST_FILE) -> Reply:
        for _ in range(5):
            reply = self.call("GET", url, most=most)
            if reply.status not in _CARRIED_ON:
                break
            url = urljoin(url, reply.location)
        if reply.status != 200:
            raise Stopped(step, f"it is answered {reply.status}")
        return reply

    def _stored(self, url: str, path: Path) -> None:
        path.write_bytes(self._demanded(path.name, url).body)

    def _connected(self, host: str, port: int) -> socket.socket:
        if self.dial is not None:
            return self.dial(host, port)
        source = (self.source, 0) if self.source else None
        return socket.create_connection(self.at or (host, port), CLIENT_S, source)


def prepared(iso: Path) -> Mode:
    """Return where the installer of *iso* asks.  Raises Stopped where nobody prepared it."""
    made = pycdlib.PyCdlib()
    made.open(str(iso))
    try:
        with made.open_file_from_iso(rr_path="/auto-installer-mode.toml") as file:
            told = tomllib.loads(file.read().decode())
        return Mode(told["http"]["url"], told["http"].get("token", ""))
    except (pycdlib.pycdlibexception.PyCdlibException, ValueError, KeyError) as exc:
        raise Stopped("installer", f"no auto-installer-mode.toml that says where: {exc}") from exc
    finally:
        made.close()


def _loaded(script: str, found: Sequence[re.Match[str]]) -> Loaded:
    kernel = next(each for each in found if each["verb"] == "kernel")
    images = {}
    for each in (each for each in found if each["verb"] == "initrd"):
        named = re.search(r"--name (\S+)", each["options"])
        more = each["more"].split()
        last = urlsplit(each["url"]).path.rpartition("/")[2]
        images[named[1] if named else more[0] if more else last] = each["url"]
    return Loaded(
        script=script, kernel=kernel["url"], arguments=kernel["more"].strip(), images=images
    )


def _answered(sock: socket.socket, method: str, most: int) -> Reply:
    came = HTTPResponse(sock, method=method)
    came.begin()
    kind = came.headers.get_content_type()
    return Reply(came.status, kind, came.read(most + 1), came.headers.get("Location", ""))


def _read(reply: Reply) -> Any:
    """Return what the answer says.  Raises ValueError."""
    if reply.kind == "application/json":
        return json.loads(reply.body)
    return tomllib.loads(reply.body.decode())

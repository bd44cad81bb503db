"""A network namespace with DHCP, the site's side of the boot contract, and machines in QEMU."""

import ctypes
import hashlib
import http.server
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

SITE = "10.77.0.1"
MAC = "52:54:00:12:34:56"
CHUNK = 4 * 1024 * 1024
CLONE_NEWNET = 0x40000000
TOKEN = "/boot/run/token"


# ---- the network


@contextmanager
def namespace() -> Iterator[str]:
    """A namespace with a bridge, a tap for a machine, and DHCP; nothing of it is left behind."""
    name = f"sprout-image-{os.getpid()}"
    sweep()
    run("ip", "netns", "add", name)
    try:
        for command in (
            "link set lo up",
            "link add br0 type bridge",
            f"address add {SITE}/24 dev br0",
            "tuntap add tap0 mode tap",
            "link set tap0 master br0",
            "link set tap0 up",
            "link set br0 up",
        ):
            run("ip", "-n", name, *command.split())
        with dnsmasq(name):
            yield name
    finally:
        remove(name)


def sweep() -> None:
    """Remove namespaces of test runs that were killed."""
    listed = run("ip", "netns", "list").split()
    for name in listed:
        owner = name.removeprefix("sprout-image-")
        if owner != name and not Path(f"/proc/{owner}").exists():
            remove(name)


def remove(name: str) -> None:
    for pid in run("ip", "netns", "pids", name).split():
        os.kill(int(pid), 9)
    run("ip", "netns", "delete", name)


@contextmanager
def dnsmasq(name: str) -> Iterator[None]:
    """Answer DHCP, and router solicitations with a lifetime of 0 (iPXE else waits 16 s)."""
    command = (
        *("ip", "netns", "exec", name, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null"),
        *("--port=0", "--interface=br0", "--bind-interfaces", "--no-ping", "--leasefile-ro"),
        *("--dhcp-range=10.77.0.10,10.77.0.50,1h", f"--dhcp-host={MAC},10.77.0.10"),
        *("--enable-ra", "--ra-param=br0,0,0", "--dhcp-range=::,constructor:br0,ra-only"),
    )
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def listening_socket(name: str) -> socket.socket:
    """A socket made inside the namespace; it works from any thread outside."""

    def inside() -> socket.socket:
        with Path(f"/var/run/netns/{name}").open() as handle:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.setns(handle.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        return socket.create_server((SITE, 0))

    # The thread that changed its namespace must end with it.
    with ThreadPoolExecutor(max_workers=1) as throw_away:
        return throw_away.submit(inside).result()


# ---- the site


@dataclass
class Site:
    """What the machine is told, and what it said: (event, form, seconds since the start)."""

    url: str
    files: dict[str, bytes | Path] = field(default_factory=dict)
    said: list[tuple[str, dict[str, str], float]] = field(default_factory=list)
    bodies: dict[str, bytes] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)
    begun: float = field(default_factory=time.monotonic)

    def record(self, event: str, form: dict[str, str]) -> None:
        with self.changed:
            self.said.append((event, form, time.monotonic() - self.begun))
            self.changed.notify_all()

    def wait_for(self, event: str, seconds: float) -> dict[str, str]:
        with self.changed:
            if not self.changed.wait_for(lambda: event in self.events(), timeout=seconds):
                raise AssertionError(f"no '{event}' within {seconds} s: {self.events()}")
        return self.form(event)

    def events(self) -> list[str]:
        return [event for event, _, _ in self.said]

    def form(self, event: str) -> dict[str, str]:
        return next(form for said, form, _ in self.said if said == event)

    def time_of(self, event: str) -> float:
        return next(at for said, _, at in self.said if said == event)


@contextmanager
def site(name: str) -> Iterator[Site]:
    listener = listening_socket(name)
    told = Site(url=f"http://{SITE}:{listener.getsockname()[1]}")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self, told)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            event = self.path.rpartition("/")[2]
            told.bodies[event] = body
            told.record(event, dict(parse_qsl(body.decode())))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """The events are the log."""

    with listener:
        server = http.server.ThreadingHTTPServer((SITE, 0), Handler, bind_and_activate=False)
        server.socket.close()
        server.socket = listener
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield told
        server.shutdown()
        thread.join()


def answer(request: http.server.BaseHTTPRequestHandler, told: Site) -> None:
    content = told.files.get(request.path)
    if content is None:
        request.send_error(404)
        return
    size = content.stat().st_size if isinstance(content, Path) else len(content)
    wanted = request.headers.get("Range")
    first, last = (int(n) for n in wanted[6:].split("-")) if wanted else (0, size - 1)
    request.send_response(206 if wanted else 200)
    if wanted:
        request.send_header("Content-Range", f"bytes {first}-{last}/{size}")
    request.send_header("Content-Length", str(last - first + 1))
    request.end_headers()
    if isinstance(content, Path):
        request.wfile.flush()
        with content.open("rb") as file:
            request.connection.sendfile(file, first, last - first + 1)
    else:
        request.wfile.write(content[first : last + 1])


def chunk_list(image: Path) -> tuple[bytes, str]:
    """The list of chunks of an image, and the image's own checksum."""
    whole = hashlib.sha256()
    lines = []
    with image.open("rb") as file:
        while data := file.read(CHUNK):
            offset = file.tell() - len(data)
            sum_ = hashlib.sha256(data).hexdigest() if any(data) else "zero"
            lines.append(f"{offset} {len(data)} {sum_}\n")
            whole.update(data)
    size = image.stat().st_size
    head = f"sprout-chunks 1 {size} {whole.hexdigest()}\n"
    return (head + "".join(lines)).encode(), whole.hexdigest()


def manifest(told: Site, image: Path, checksum: str, **more: object) -> bytes:
    """The manifest of a boot; keywords name the disk (disk_serial="…")."""
    lines = {
        "version": 1,
        "run": "6b0f4a52-5bb0-4f3c-9c57-2f9f5c8a5a10",
        "hostname": "node1",
        "image": f"{told.url}/artifacts/image",
        "image-size": image.stat().st_size,
        "image-sha256": checksum,
        "chunks": f"{told.url}/artifacts/image.chunks",
        "disk-min-bytes": 1024**3,
        "seed": f"{told.url}{TOKEN}/seed/",
        "callback": f"{told.url}{TOKEN}/",
        **{key.replace("_", "-"): value for key, value in more.items()},
    }
    return "".join(f"{key} {value}\n" for key, value in lines.items()).encode()


# ---- machines


@dataclass
class Machine:
    """A virtual machine: its firmware, its disks, and what it wrote to its serial console."""

    folder: Path
    name: str
    process: subprocess.Popen[bytes] | None = None

    def disk(self, number: int = 0, size: int = 2 * 1024**3) -> Path:
        path = self.folder / f"disk{number}.raw"
        if not path.exists():
            with path.open("wb") as file:
                file.truncate(size)
        return path

    def start(self, *arguments: str) -> None:
        command = (
            *("ip", "netns", "exec", self.name, "qemu-system-x86_64"),
            *("-machine", "q35,accel=tcg", "-cpu", "max", "-m", "1024", "-smp", "1"),
            *("-nodefaults", "-vga", "none", "-display", "none", "-monitor", "none"),
            *("-serial", f"file:{self.console}", "-device", "virtio-rng-pci"),
            *("-smbios", "type=1,serial=SN-1,manufacturer=QEMU"),
            *("-netdev", "tap,id=net0,ifname=tap0,script=no,downscript=no"),
            *arguments,
        )
        self.process = subprocess.Popen(command)

    @property
    def console(self) -> Path:
        return self.folder / "console.log"

    def wait_off(self, seconds: float) -> None:
        assert self.process is not None
        self.process.wait(timeout=seconds)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def network_card(**properties: str) -> list[str]:
    given = "".join(f",{key}={value}" for key, value in properties.items())
    return ["-device", f"virtio-net-pci,netdev=net0,mac={MAC}{given}"]


def nvme(path: Path, serial: str, number: int = 0) -> list[str]:
    drive = f"if=none,id=disk{number},format=raw,cache=unsafe,file={path}"
    return ["-drive", drive, "-device", f"nvme,drive=disk{number},serial={serial}"]


def direct_boot(folder: Path, manifest_url: str) -> list[str]:
    """The kernel loaded by QEMU itself, as iPXE would load it."""
    append = (
        f"quiet console=ttyS0,115200 sprout.manifest={manifest_url} "
        f"BOOTIF=01-{MAC.replace(':', '-')}"
    )
    files = ("-kernel", str(folder / "vmlinuz"), "-initrd", str(folder / "initrd.img"))
    return [*files, "-append", append, "-no-reboot"]


def ssh(name: str, folder: Path, host_key: str, command: str) -> str:
    """Run *command* on the machine, which must prove that it owns *host_key*."""
    known = folder / "known_hosts"
    known.write_text(f"10.77.0.10 {host_key}\n")
    return run(
        *("ip", "netns", "exec", name, "ssh", "-F", "/dev/null", "-i", str(folder / "key")),
        *("-o", f"UserKnownHostsFile={known}", "-o", "StrictHostKeyChecking=yes"),
        *("-o", "BatchMode=yes", "-o", "ConnectTimeout=20", "root@10.77.0.10", command),
    )


def key_pair(folder: Path) -> str:
    path = folder / "key"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path))
    return path.with_suffix(".pub").read_text().strip()


def run(*command: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout

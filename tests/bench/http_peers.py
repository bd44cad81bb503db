"""Who serves the same files: our two processes, and nginx, each on the same core."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from pxe_stack.serve import Site
from tests.pxe_stack import lab, make
from tests.services import process

SERVER_CORE = {0}
CLIENT_CORES = {2, 3}
FILE = "os/disk.raw"

_NGINX = """
user root; worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_requests 1000000;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; scgi_temp_path {folder}/scgi; uwsgi_temp_path {folder}/uwsgi;
  server {{ listen 127.0.0.1:{port}; location /artifacts/ {{ alias {files}/; }} }}
}}
"""


@dataclass(frozen=True)
class Peer:
    """A server under measurement."""

    name: str
    port: int
    pids: tuple[int, ...]

    def cpu_s(self) -> float:
        """Return the seconds of processor time that it has used."""
        return sum(cpu_s(pid) for pid in self.pids)

    def private_bytes(self) -> int:
        """Return what its processes have in memory for themselves alone."""
        return sum(psutil.Process(pid).memory_full_info().uss for pid in self.pids)


def cpu_s(pid: int) -> float:
    """Return the seconds of processor time that the process *pid* has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pin(pid: int, cores: set[int]) -> None:
    """Keep every thread of the process *pid* on *cores*."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), cores)


@contextmanager
def ours(folder: Path, files: Path) -> Iterator[tuple[Peer, lab.Boot]]:
    """Our `http` and `files`, which serve what lies in *files*."""
    (port,) = process.free_ports(1)
    site = Site(
        directory=folder / "site",
        agent=make.AGENT,
        key=make.KEY,
        boot_url=f"http://127.0.0.1:{port}",
        boot_address="127.0.0.1",
        boot_port=port,
        loader_dirs=(files,),
    )
    with lab.serving(site, "files", "http") as boot:
        for path in (each for each in files.rglob("*") if each.is_file()):
            with path.open("rb") as content:
                digest = hashlib.file_digest(content, "sha256").hexdigest()
            told = {"sha256": digest, "size": path.stat().st_size, "chunks": ""}
            boot.stores.plans.put_file(str(path.relative_to(files)), path, **told)
        pids = tuple(each.pid for each in boot.processes.values())
        for pid in pids:
            pin(pid, SERVER_CORE)
        yield Peer("sprout", port, pids), boot


@contextmanager
def nginx(folder: Path, files: Path) -> Iterator[Peer]:
    """nginx with one worker and sendfile."""
    (port,) = process.free_ports(1)
    folder.mkdir()
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, port=port, files=files), encoding="ascii")
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin") or "nginx"
    command = ["taskset", "-c", "0", program, "-c", str(config)]
    child = process.launch(command, folder / "log")
    try:
        children = Path(f"/proc/{child.pid}/task/{child.pid}/children")
        lab.until(lambda: children.read_text(encoding="ascii").split())
        worker = int(children.read_text(encoding="ascii").split()[0])
        yield Peer("nginx", port, (worker,))
    finally:
        process.stop(child)

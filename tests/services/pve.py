"""Nodes of Proxmox VE: Debian's own sshd each, in files of its own, with tools that stand in.

A node sees its own /etc and /root; /etc/pve is its own folder, and its cluster's after a join.
"""

import json
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actors.drivers import ssh
from tests.services import pve_tools, sshd
from tests.services.sshd import Sshd

PASSWORD = f"correct horse; $battery 'staple' {secrets.token_hex(4)}"
"""Of this run of tests alone: it is looked for in all processes, which may be another run's."""

_PYTHON = ("-S", "-E")
"""Begun often: without what it loads for others."""

_PERL = """#!/usr/bin/perl
use strict; use warnings;
open(my $to, '|-', qw({python} {tools} pvesh)) or die;
print {{$to}} map {{ "$_\\n" }} @ARGV;
close $to;
exit($? >> 8);
"""
_SHELL = "#!/bin/sh\nprintf '%s\\n' \"$@\" | {python} {tools} {name}\n"
_MOUNTED = 'mount --bind "$1/etc" /etc && mount --bind "$1/root" /root && shift && exec "$@"'


_HEEDED = (
    *("passwd", "shadow", "group", "gshadow", "nsswitch.conf", "hosts", "hostname", "localtime"),
    *("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "environment", "profile", "bash.bashrc"),
    *("alternatives", "perl", "python3", "ssh", "shells", "login.defs", "security"),
)
"""What is copied of /etc."""


def _python() -> str:
    """A Python that a node sees: not below /root, which is the node's own."""
    found = shutil.which("python3", path="/usr/local/bin:/usr/bin")
    assert found is not None
    return found


@dataclass
class Node:
    """A node in *folder*."""

    name: str
    folder: Path
    sshd: Sshd

    @property
    def host(self) -> ssh.Host:
        keys = tuple(self.sshd.keys.values())
        return ssh.Host(address=self.sshd.address, keys=keys, port=self.sshd.port)

    @property
    def state(self):
        return json.loads((self.folder / "state.json").read_text())

    def have(self, **more) -> None:
        """Change what it is."""
        pve_tools.write(self.folder / "state.json", self.state | more)

    @property
    def pve(self) -> Path:
        """Its /etc/pve."""
        return (self.folder / "etc/pve").resolve()

    def root_keys(self) -> str:
        """The keys of root that it heeds."""
        return (self.pve / "priv/authorized_keys").read_text()


@dataclass
class World:
    """A folder of nodes and clusters; files in it change what the tools do.

    *hangs*: a join never ends; *unseen*: who joins is seen by no node of its cluster; *slow*: after
    a move a node's services are away at first, and then know of no cluster.  *moves* tells when
    each move began and ended.

    Servers listen at *port*, or one of loopback each, in the namespace *netns* if one is named, by
    keys of *kinds*.
    """

    folder: Path
    stack: ExitStack
    nodes: dict[str, Node] = field(default_factory=dict)
    port: int = 0
    netns: str = ""
    kinds: Sequence[str] = sshd.KINDS

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self.forget()
        self._tools()

    def _tools(self) -> None:
        tools = self.folder / "bin"
        tools.mkdir()
        how = {"python": " ".join((_python(), *_PYTHON)), "tools": pve_tools.__file__}
        texts = {"pvesh": _PERL.format(**how)}
        for name in ("pvecm", "corosync-quorumtool"):
            texts[name] = _SHELL.format(name=name, **how)
        for name, text in texts.items():
            (tools / name).write_text(text)
            (tools / name).chmod(0o755)

    def node(self, name: str, address: str, *keys: str, linked: bool = True) -> Node:
        """A node as an installation leaves it, whose root lets *keys* in.

        *linked*: root's keys are those below /etc/pve already, as after a first boot.
        """
        folder = self.folder / name
        if name not in self.nodes:
            (folder / "root/.ssh").mkdir(parents=True)
            _settings_of_this_machine(folder / "etc")
            sshd.new_key(folder / "id_rsa", self.kinds[-1])
            self.nodes[name] = Node(name, folder, self._running(folder, address))
        _installed(folder, keys, linked=linked)
        state = {"name": name, "ip": address, "cluster": "", "corosync": False}
        pve_tools.write(folder / "state.json", state)
        return self.nodes[name]

    def _running(self, folder: Path, address: str) -> Sshd:
        path = f"{self.folder / 'bin'}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        running = sshd.running(
            folder / "sshd",
            address=address,
            port=self.port,
            netns=self.netns,
            kinds=self.kinds,
            extra=f"SetEnv PATH={path} PVE_NODE={folder}",
            words=["unshare", "-m", "sh", "-c", _MOUNTED, "sh", str(folder)],
            authorized="/root/.ssh/authorized_keys /root/.ssh/authorized_keys2",
        )
        return self.stack.enter_context(running)

    def forget(self) -> None:
        """Have no cluster, and no node that is anything; their servers stay."""
        for each in self.folder.glob("*.cluster"):
            shutil.rmtree(each)
        files = ("*/state.json", "*/restarts", "*")
        for each in (each for pattern in files for each in self.folder.glob(pattern)):
            if each.is_file():
                each.unlink()
        (self.folder / "password").write_text(PASSWORD)

    def clustered(self, name: str, address: str, *keys: str, cluster: str = "lab") -> Node:
        """A node that is its cluster's first."""
        made = self.node(name, address, *keys)
        command = ["unshare", "-m", "sh", "-c", _MOUNTED, "sh", str(made.folder)]
        env = {"PVE_NODE": str(made.folder), "PATH": f"{self.folder / 'bin'}:/usr/bin:/bin"}
        subprocess.run([*command, "pvecm", "create", cluster], check=True, env=env)
        return made

    def cluster(self, name: str = "lab"):
        """The state of a cluster."""
        return json.loads((self.folder / f"{name}.cluster" / "state.json").read_text())

    def moves(self) -> list[tuple[str, str]]:
        """Each beginning and end of a move, with the node that it is of, in order."""
        text = (self.folder / "moves").read_text()
        return [(line.split()[0], line.split()[1]) for line in text.splitlines()]

    def change(self, name: str, node: str, **more) -> None:
        """Change what a cluster knows of a node, or have it know one more."""
        state = self.cluster(name)
        fresh = {"id": 90, "ip": "127.0.0.99", "fp": pve_tools.renewed(node), "online": False}
        state["nodes"][node] = {**state["nodes"].get(node, fresh), **more}
        pve_tools.write(self.folder / f"{name}.cluster" / "state.json", state)


def _settings_of_this_machine(etc: Path) -> None:
    """Copy what a login heeds, of some hundreds of files that it does not."""
    found = [str(path) for name in _HEEDED if (path := Path("/etc") / name).exists()]
    etc.mkdir()
    subprocess.run(["cp", "-a", *found, str(etc)], check=True)


def _installed(folder: Path, keys: Sequence[str], *, linked: bool) -> None:
    """Have the files of a node be what an installation leaves."""
    root, pve = folder / "root", folder / "pve"
    for each in (root / ".ssh", pve, folder / "etc/corosync"):
        shutil.rmtree(each, ignore_errors=True)
    (root / ".ssh").mkdir()
    (pve / "priv").mkdir(parents=True)
    (folder / "etc/pve").unlink(missing_ok=True)
    (folder / "etc/pve").symlink_to(pve)
    (pve / ".vmlist").write_text(json.dumps({"version": 1, "ids": {}}))
    text = "".join(f"{key}\n" for key in keys)
    (pve / "priv/authorized_keys").write_text(text if linked else "")
    if linked:
        (root / ".ssh/authorized_keys").symlink_to("/etc/pve/priv/authorized_keys")
    else:
        (root / ".ssh/authorized_keys").write_text(text)
    shutil.copy(folder / "id_rsa.pub", root / ".ssh/id_rsa.pub")


@contextmanager
def world(folder: Path, **more: Any) -> Iterator[World]:
    """A world for a block."""
    with ExitStack() as stack:
        yield World(folder, stack, **more)

"""Where a server that we bring along lives: its own user when we are root, its own folder.

PostgreSQL refuses to run as root, and no server needs to.  But root's data folder and virtual
environment often lie below /root (0700), where no other user gets in.  Opening those folders, or
keeping state elsewhere, would outlive us; so the server gets a mount namespace of its own, in
which its folder and its program are bound below /mnt.  The namespace ends with the server.
"""

import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from typing import Final

_HOME: Final = Path("/mnt/home")
_PROGRAM: Final = Path("/mnt/program")

_BIND: Final = """
mount -t tmpfs -o size=64k,mode=0755 sprout /mnt
mkdir /mnt/home /mnt/program
mount --bind "$1" /mnt/home
mount --bind "$2" /mnt/program
shift 2
exec "$@"
"""


class NoUser(Exception):
    """None of the users that a server may run as exists."""


@dataclass(frozen=True, slots=True)
class Quarters:
    """How to start a server, and where it finds its folders.

    Attributes:
        prefix: goes before the server's own argv; the process id stays the same throughout.
        home: its folder, as it sees it.
        program: its program's folder, as it sees it.
    """

    prefix: tuple[str, ...]
    home: Path
    program: Path


def assign(
    home: Path, program: Path, *, users: Sequence[str], dies_with_parent: Signals
) -> Quarters:
    """Give *home* to the first of *users* that exists when we are root; else change nothing.

    Raises:
        NoUser: we are root and have nobody to be instead.
    """
    if os.geteuid() != 0:
        return Quarters((), home, program)
    user = _first(users)
    _hand_over(home, user)
    # A change of user clears the death signal that the supervisor has set: set it again.
    become = (
        *("setpriv", "--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups"),
        *("--no-new-privs", "--pdeathsig", dies_with_parent.name.removeprefix("SIG")),
    )
    if _may_mount():
        enter = ("unshare", "--mount", "--propagation", "private", "sh", "-ec", _BIND, "sh")
        return Quarters((*enter, str(home), str(program), *become), _HOME, _PROGRAM)
    # Root of a container without CAP_SYS_ADMIN: let the server pass closed folders instead.
    # access(2) knows of that only with no_setuid_fixup: capabilities(7).
    passing = ("--inh-caps=+dac_override", "--ambient-caps=+dac_override")
    return Quarters((*become, *passing, "--securebits=+no_setuid_fixup"), home, program)


def _first(users: Sequence[str]) -> pwd.struct_passwd:
    known = {entry.pw_name: entry for entry in pwd.getpwall() if entry.pw_uid != 0}
    for name in users:
        if name in known:
            return known[name]
    raise NoUser(f"want a system user to run a server as: one of {', '.join(users)}")


def _hand_over(home: Path, user: pwd.struct_passwd) -> None:
    """Give all below *home* to *user*: also what we have just written there."""
    for folder, _, files in os.walk(home):
        for path in (Path(folder), *(Path(folder) / file for file in files)):
            if path.lstat().st_uid != user.pw_uid:
                os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)


def _may_mount() -> bool:
    trial = ("unshare", "--mount", "--propagation", "private", "mount", "-t", "tmpfs", "x", "/mnt")
    return subprocess.run(trial, check=False, capture_output=True).returncode == 0

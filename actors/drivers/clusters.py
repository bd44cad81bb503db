"""Proxmox VE clusters, by commands on their nodes: looked at, created, joined, left.

Rule 1: a password is given to a command by its standard input; it stands in no list of processes.
Rule 2: what a command says of its own success counts for nothing: the cluster is looked at again.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from actors.drivers import ssh
from actors.drivers.errors import Garbled, Interrupted, TookTooLong, Unsuccessful
from config.secrets import Secret
from models import joining
from models.errors import Invalid
from models.joining import Cluster, Standing, Wanted

SHARED_KEYS: Final = "/etc/pve/priv/authorized_keys"
KEY_FILES: Final = (
    SHARED_KEYS,
    "/root/.ssh/authorized_keys",
    "/root/.ssh/authorized_keys.org",
    "/root/.ssh/authorized_keys2",
)
"""Where root's keys lie on a node: shared by all, a link to that, and what a join sets aside."""

LOOK_S: Final = 60.0
"""Seconds for a command that reads, or that writes a line of a file."""

_MOST: Final = 1 << 20
"""Bytes of what a command says that are kept."""

_WORDS: Final = 300

_AUTH_KEY: Final = "/etc/corosync/authkey"
_CONF: Final = "/etc/pve/corosync.conf"
_RUNS: Final = "corosync runs"
_IN_THE_WAY: Final = (
    'for f; do if test -e "$f"; then echo "$f"; fi; done; '
    f"if corosync-quorumtool -l >/dev/null 2>&1; then echo {_RUNS!r}; fi"
)

# pvesh takes parameters as arguments alone, which everybody on the host can list; but it is Perl,
# and whoever runs it in place can hand it arguments that were never a process's.
_UNSEEN: Final = (
    "pvesh=$(command -v pvesh) || exit 127; exec perl -e "
    "'my $f = shift; chomp(@ARGV = <STDIN>); do $f; die $@ if $@' \"$pvesh\""
)

_WITHOUT: Final = (
    'umask 077; for f; do if test -e "$f"; then n=$(readlink -f "$f") && '
    '{ grep -vF -- "$k" "$n" >"$n.sprout" || test $? = 1; } && '
    'mv "$n.sprout" "$n" || exit 1; fi; done'
)
_HOLD: Final = (
    'for f; do if test -e "$f"; then grep -qF -- "$k" "$f" && echo "$f"; '
    "test $? -le 1 || exit 1; fi; done; exit 0"
)
_WITH: Final = 'umask 077; grep -qsF -- "$k" "$1" || printf \'%s\\n\' "$k" >>"$1"'
_OWN_KEY: Final = (
    "f=/root/.ssh/id_rsa; test -e $f.pub || ssh-keygen -q -t rsa -b 4096 -N '' -f $f; cat $f.pub"
)


@dataclass(slots=True)
class Said:
    """What a command said, and its status."""

    status: int = 0
    streams: dict[str, bytes] = field(default_factory=dict)

    def take(self, stream: str, said: bytes) -> None:
        """Keep some of it, bounded."""
        before = self.streams.get(stream, b"")
        self.streams[stream] = (before + said)[:_MOST]

    def text(self, stream: str = "stdout") -> str:
        """Return what was said there."""
        return self.streams.get(stream, b"").decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Node:
    """A node that was logged in to; *check* raises where nothing more may be done."""

    session: ssh.Session
    name: str
    check: Callable[[], None]
    unsaid: tuple[Secret, ...] = ()
    """What is taken out of whatever is told."""

    def ask(
        self, argv: Sequence[str], *, limit_s: float = LOOK_S, given: bytes | None = None
    ) -> Said:
        """Run *argv*; return what it said.  Raises DriverError."""
        said = Said()
        ended = self.session.run(argv, said.take, limit_s=limit_s, wanted=self.check, given=given)
        said.status = ended.status
        return said

    def demand(self, what: str, argv: Sequence[str]) -> Said:
        """Do the same, and raise Unsuccessful with its last words where it fails."""
        said = self.ask(argv)
        if said.status:
            raise Unsuccessful(f"{what} failed: {self.last_words(said)}")
        return said

    def last_words(self, said: Said) -> str:
        """Return the end of what a command said, in one line that is fit to be shown."""
        text = " ".join(f"{said.text()} {said.text('stderr')}".split())
        for secret in self.unsaid:
            text = text.replace(secret.reveal(), "***")
        shown = "".join(each if each.isprintable() else " " for each in text)
        return shown[-_WORDS:] or f"it says nothing, and ends with {said.status}"

    # --- looking ---

    def cluster(self) -> Cluster | None:
        """Return the cluster that this node is in, None where it is in none."""
        status = self._read("pvesh", "get", "/cluster/status", "--output-format", "json")
        try:
            if joining.cluster(status) is None:
                return None
            return joining.cluster(status, self._join_info())
        except Invalid as exc:
            raise Garbled(f"{self.name} tells of its cluster what makes no sense: {exc}") from exc

    def _join_info(self) -> Any:
        """Return what is told to who would join; nothing while one node's certificate is missing.

        That may be the one whose old entry is to be removed.
        """
        argv = ("pvesh", "get", "/cluster/config/join", "--output-format", "json")
        said = self.ask(argv)
        return self._parsed(said, argv) if said.status == 0 else None

    def standing(self) -> Standing:
        """Return what this node is before it joins."""
        found = self.demand(
            "looking at corosync", ["sh", "-c", _IN_THE_WAY, "sh", _AUTH_KEY, _CONF]
        )
        there = found.text().splitlines()
        try:
            guests = joining.guests(self._read("cat", "/etc/pve/.vmlist"))
        except Invalid as exc:
            raise Garbled(f"{self.name} tells of its guests what makes no sense") from exc
        return Standing(
            cluster=self.cluster(),
            guests=guests,
            auth_key=_AUTH_KEY in there,
            corosync_conf=_CONF in there,
            corosync=_RUNS in there,
        )

    def _read(self, *argv: str) -> Any:
        return self._parsed(self.demand(" ".join(argv[:3]), argv), argv)

    def _parsed(self, said: Said, argv: Sequence[str]) -> Any:
        try:
            return json.loads(said.text())
        except (ValueError, RecursionError) as exc:
            raise Garbled(f"{self.name}: {' '.join(argv[:3])} says no JSON") from exc

    # --- keys ---

    def forget(self, key: str) -> None:
        """Take the public *key* out of all files of root's keys."""
        self.demand(
            f"removing the key of this rebuild from {self.name}",
            _with_key(key, _WITHOUT, *KEY_FILES),
        )

    def holding(self, key: str) -> list[str]:
        """Return the files that let *key* in."""
        return self.demand("looking for a key", _with_key(key, _HOLD, *KEY_FILES)).text().split()

    def trust(self, line: str, file: str = SHARED_KEYS) -> None:
        """Have *line* stand in a *file*, once."""
        self.demand(f"adding a line to {file}", _with_line(line, _WITH, file))

    def own_key(self) -> str:
        """Return the public key of the node's root."""
        return self.demand("reading its own key", ["sh", "-c", _OWN_KEY]).text().strip()


def _with_line(line: str, script: str, *files: str) -> list[str]:
    return ["env", f"k={line}", "sh", "-c", script, "sh", *files]


def _with_key(key: str, script: str, *files: str) -> list[str]:
    """Return what runs *script* for the bare key itself: a comment beside it may be anything."""
    return _with_line(key.split()[1], script, *files)


# --- moves ---


@dataclass(frozen=True, slots=True, kw_only=True)
class By:
    """How the cluster's API is logged in to; None: by the nodes' own SSH.  *limit_s*: of a move."""

    password: Secret | None
    limit_s: float


def create(here: Node, want: Wanted, by: By) -> str:
    """Create the cluster on *here*; return what was said."""
    return _moved(here, "creating the cluster", ["pvecm", "create", want.cluster], by)


def delnode(there: Node, want: Wanted, by: By) -> str:
    """Take the entry of a host that is no more out of the cluster."""
    return _moved(there, "removing the old entry", ["pvecm", "delnode", want.node], by)


def join(here: Node, there: Node, want: Wanted, member: Cluster, by: By) -> str:
    """Have *here* join the cluster of *there*; return what was said."""
    if by.password is None:
        return _join_by_ssh(here, there, want, by)
    asked: Mapping[str, str] = MappingProxyType(
        {
            "hostname": want.member,
            "fingerprint": joining.pinned(want, member),
            "password": by.password.reveal(),
        }
    )
    words = ["create", "/cluster/config/join", *(f"--{key}={asked[key]}" for key in asked)]
    given = "".join(f"{word}\n" for word in words).encode()
    return _moved(here, "joining the cluster", ["sh", "-c", _UNSEEN], by, given)


def _join_by_ssh(here: Node, there: Node, want: Wanted, by: By) -> str:
    own = here.own_key()
    for key in there.session.host_keys:
        here.trust(f"{want.member} {key}", "/root/.ssh/known_hosts")
    there.trust(own)
    said = _moved(here, "joining the cluster", ["pvecm", "add", want.member, "--use_ssh", "1"], by)
    if here.cluster() is None:
        there.forget(own)
    return said


def _moved(node: Node, what: str, argv: Sequence[str], by: By, given: bytes | None = None) -> str:
    """Return the last words of a move, whatever they are; what came of it is looked at."""
    try:
        said = node.ask(argv, limit_s=by.limit_s, given=given)
    except TookTooLong as exc:
        raise TookTooLong(f"{what} hangs: {exc}") from exc
    except Interrupted as exc:
        raise Interrupted(f"{what} was cut off: {exc}") from exc
    return node.last_words(said)

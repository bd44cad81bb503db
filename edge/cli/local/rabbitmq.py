"""RabbitMQ in the data folder, under our own launcher, wherever `rabbitmq-server` is installed.

It shares nothing with another RabbitMQ of the machine: its own node name, cookie, folders and
ports, all on loopback.  Erlang nodes are found through epmd, which by default is one daemon for
all, on all addresses, and outlives its starter; RabbitMQ asks it once a minute and starts it when
it is away.  So ours has an epmd of its own, on its own port, as one more row of the process table.
"""

import base64
import hashlib
import json
import os
import re
import secrets
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from edge.cli.local import quarters
from edge.cli.local.folder import Folder, write_private
from edge.cli.local.process import Listening, LogLine, Process, Service
from edge.cli.local.quarters import Quarters
from models.messages import UPWARD_EXCHANGE

NAME: Final = "rabbitmq"
EPMD: Final = "epmd"
USER: Final = "sprout"
SITE: Final = "site"
VHOST: Final = "sprout"

_USERS: Final = ("rabbitmq", "nobody")
_READY: Final = LogLine("Server startup complete")

# Debian's /usr/sbin/rabbitmq-server is a wrapper that insists on its own user and folders.
_SCRIPTS: Final = (Path("/usr/lib/rabbitmq/bin/rabbitmq-server"),)
_ERLANG: Final = Path("/usr/lib/erlang")

# One scheduler, small tables and no multi-block carriers kept warm: a third less memory, and as
# fast for our few hundred messages a second.  (PSS of RabbitMQ 3.10: 107 MB before, 74 MB after.)
_THRIFT: Final = (
    "+S 1:1 +SDcpu 1:1 +SDio 1 +sbwt none +sbwtdcpu none +sbwtdio none "
    "+P 65536 +Q 4096 +Mea min +MMscs 64"
)


@dataclass(frozen=True, slots=True)
class Programs:
    """What must be installed for a RabbitMQ of our own."""

    server: Path
    epmd: Path


@dataclass(frozen=True, slots=True)
class _Ports:
    amqp: int
    distribution: int
    epmd: int


def installed() -> Programs | None:
    """Return where RabbitMQ is installed, or None: a first look works without it."""
    on_path = shutil.which("rabbitmq-server")
    server = next((script for script in _SCRIPTS if script.exists()), on_path and Path(on_path))
    epmds = (shutil.which("epmd"), *_ERLANG.glob("erts-*/bin/epmd"))
    epmd = next((Path(found) for found in epmds if found), None)
    return Programs(server, epmd) if server and epmd and shutil.which("erl") else None


def prepare(folder: Folder, programs: Programs) -> Service:
    """Write its configuration and return how to run it.

    Its two accounts are made anew at each start: control's, and the one of the sites on this
    machine, which may do what a site's own account may.  `guest` never exists.
    """
    home = folder.home(NAME)
    password = folder.secret("broker_password")
    ports = _Ports(*(folder.port(use) for use in (NAME, "rabbitmq_distribution", EPMD)))
    accounts = {USER: password, SITE: folder.secret("site_broker_password")}
    assigned = partial(quarters.assign, home, home, users=_USERS, dies_with_parent=signal.SIGTERM)
    where = assigned().home
    write_private(home / "definitions.json", _definitions(accounts))
    write_private(home / "advanced.config", _configuration(ports.amqp, where))
    write_private(home / "enabled_plugins", "[].\n")
    _link_plugins(home / "plugins", programs.server)
    place = assigned()  # again: what was just written is ours until then
    processes = (_epmd(place, programs.epmd, ports), _server(place, programs, ports, folder.path))
    url = f"amqp://{USER}:{password}@127.0.0.1:{ports.amqp}/{VHOST}"
    title = f"RabbitMQ on 127.0.0.1:{ports.amqp}, kept in {home}"
    for_sites = f"amqp://{SITE}:{accounts[SITE]}@127.0.0.1:{ports.amqp}/{VHOST}"
    return Service(processes, url, title, for_sites)


def _epmd(place: Quarters, program: Path, ports: _Ports) -> Process:
    return Process(
        name=EPMD,
        argv=(*place.prefix, str(program), "-address", "127.0.0.1", "-port", str(ports.epmd)),
        env={"PATH": os.environ.get("PATH", os.defpath)},
        ready=Listening(ports.epmd),
    )


def _server(place: Quarters, programs: Programs, ports: _Ports, data: Path) -> Process:
    return Process(
        name=NAME,
        argv=(*place.prefix, str(programs.server)),
        env=_environment(place.home, _node(data), ports),
        needs=(EPMD,),
        ready=_READY,
        stop_s=15.0,
    )


def _node(data: Path) -> str:
    """Return a node name of this data folder's own; the address needs no /etc/hosts."""
    return f"sprout-{hashlib.sha256(os.fsencode(data)).hexdigest()[:8]}@127.0.0.1"


def _environment(home: Path, node: str, ports: _Ports) -> dict[str, str]:
    missing = f"{home}/none"  # the machine's own /etc/rabbitmq is not ours to read
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "ERL_EPMD_PORT": str(ports.epmd),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": node,
        "RABBITMQ_USE_LONGNAME": "true",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(ports.amqp),
        "RABBITMQ_DIST_PORT": str(ports.distribution),
        "RABBITMQ_MNESIA_BASE": f"{home}/db",
        "RABBITMQ_LOG_BASE": f"{home}/log",
        "RABBITMQ_PID_FILE": f"{home}/pid",
        "RABBITMQ_CONF_ENV_FILE": missing,
        "RABBITMQ_CONFIG_FILE": missing,
        "RABBITMQ_CONFIG_FILES": f"{missing}/*.conf",
        "RABBITMQ_ADVANCED_CONFIG_FILE": f"{home}/advanced.config",
        "RABBITMQ_ENABLED_PLUGINS_FILE": f"{home}/enabled_plugins",
        "RABBITMQ_PLUGINS_DIR": f"{home}/plugins",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": " ".join(
            (_THRIFT, _ELECTIONS, _distribution(node, ports))
        ),
        "ERL_CRASH_DUMP_SECONDS": "0",
        # The script then becomes the server, instead of waiting beside it: its pid is ours.
        "RUNNING_UNDER_SYSTEMD": "true",
    }


# A queue that was declared seconds before a SIGKILL comes back without a leader, for good, and
# takes no message (seen in 3.10): where there is one node only, it may be told to elect itself.
_ELECTIONS: Final = (
    "-eval L=fun(F)->timer:sleep(2000),"
    "catch([ra:trigger_election({Q,node()})||{Q,follower}<-ets:tab2list(ra_state)]),"
    "F(F)end,spawn(fun()->L(L)end)."
)


def _distribution(node: str, ports: _Ports) -> str:
    # Named at the start of Erlang, or RabbitMQ runs a second Erlang just to start an epmd.
    port = ports.distribution
    return (
        f"-name {node} -start_epmd false -kernel inet_dist_use_interface {{127,0,0,1}} "
        f"inet_dist_listen_min {port} inet_dist_listen_max {port}"
    )


def _definitions(accounts: Mapping[str, str]) -> str:
    """Return virtual host, accounts and permissions, as RabbitMQ exports them."""
    rights = {
        USER: {"configure": ".*", "write": ".*", "read": ".*"},
        SITE: {
            "configure": "^$",
            "write": f"^{re.escape(UPWARD_EXCHANGE)}$",
            "read": r"^sprout\.agent\.",
        },
    }
    users = [
        {"name": name, "password_hash": _hash(word), "hashing_algorithm": _ALGORITHM, "tags": ""}
        for name, word in accounts.items()
    ]
    permissions = [{"user": name, "vhost": VHOST, **may} for name, may in rights.items()]
    return json.dumps({"vhosts": [{"name": VHOST}], "users": users, "permissions": permissions})


_ALGORITHM: Final = "rabbit_password_hashing_sha256"
"""Said for each user: a definition that does not say is taken for MD5's."""


def _hash(password: str) -> str:
    # https://www.rabbitmq.com/docs/passwords#this-is-the-algorithm
    salt = secrets.token_bytes(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def _configuration(port: int, home: Path) -> str:
    """Return Erlang terms: unlike rabbitmq.conf, they need no schema compiled at each start."""
    return f"""[
 {{rabbit, [
  {{tcp_listeners, [{{"127.0.0.1", {port}}}]}},
  {{load_definitions, "{home}/definitions.json"}}, {{loopback_users, []}},
  {{log, [{{console, [{{enabled, true}}, {{level, info}}]}}, {{file, [{{file, false}}]}}]}}
 ]}},
 {{ra, [{{wal_max_size_bytes, 33554432}}]}}
].
"""


def _link_plugins(folder: Path, server: Path) -> None:
    """Show it no plugin but itself, so that it does not read sixty descriptions at each start."""
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for found in (server.resolve().parent.parent / "plugins").glob("rabbit-[0-9]*"):
        (folder / found.name).symlink_to(found)

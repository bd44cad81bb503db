"""What pvesh, pvecm and corosync-quorumtool do on a stand-in of a Proxmox VE node.

Run as a script: the tool's name is its argument, the tool's own arguments are lines of its input.
The node is the folder PVE_NODE; nodes and clusters lie beside each other.  What the real ones
refuse this refuses in their words, and a worker's failure is no failure of pvesh, as theirs.
"""

import fcntl
import hashlib
import json
import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

NODE = Path(os.environ.get("PVE_NODE", "."))
WORLD = NODE.parent
ROOT_KEYS = Path("/root/.ssh/authorized_keys")
BACKUP = Path("/root/.ssh/authorized_keys.org")
SHARED = Path("/etc/pve/priv/authorized_keys")
AUTH_KEY = Path("/etc/corosync/authkey")
CONF = Path("/etc/pve/corosync.conf")


class Dies(Exception):
    """What ends a tool, in its words."""


def say(words):
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def read(path):
    return json.loads(path.read_text())


def write(path, value):
    new = path.with_suffix(".new")
    new.write_text(json.dumps(value))
    new.replace(path)


@contextmanager
def locked():
    """The cluster's lock: whoever finds it taken gets the error of the real one."""
    with (WORLD / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            said = "can't acquire cfs lock 'file-corosync_conf': got lock request timeout"
            raise Dies(said) from None
        yield


def own():
    return read(NODE / "state.json")


def cluster():
    """The state of this node's cluster, None where it is in none."""
    name = own()["cluster"]
    return read(WORLD / f"{name}.cluster" / "state.json") if name else None


def keep(state):
    write(WORLD / f"{state['name']}.cluster" / "state.json", state)


def quorate(state):
    return 2 * sum(each["online"] for each in state["nodes"].values()) > len(state["nodes"])


def renewed(name):
    """A fingerprint that was never a node's before."""
    digest = hashlib.sha256(name.encode() + os.urandom(8)).hexdigest().upper()
    return ":".join(digest[at : at + 2] for at in range(0, 64, 2))


@contextmanager
def told():
    """Tell when a move of this node begins, and when it ends."""
    _tell("begin")
    try:
        yield
    finally:
        _tell("end")


def _tell(what):
    with (WORLD / "moves").open("a") as file:
        file.write(f"{what} {NODE.name}\n")


# --- reading ---


def restarting():
    """Whether this node's services are being started: so often it tells what it is not."""
    file = NODE / "restarts"
    left = int(file.read_text()) if file.exists() else 0
    if left:
        file.write_text(str(left - 1))
    return left


def status():
    mine, state = own(), cluster()
    left = restarting()
    if left > 2:
        raise Dies("ipcc_send_rec[1] failed: Connection refused")
    if left:
        state = None
    if state is None:
        row = {"type": "node", "id": f"node/{mine['name']}", "name": mine["name"], "local": 1}
        return [row | {"ip": mine["ip"], "nodeid": 0, "online": 1, "level": ""}]
    head = {"type": "cluster", "id": "cluster", "name": state["name"], "version": 1}
    rows = [head | {"nodes": len(state["nodes"]), "quorate": int(quorate(state))}]
    for name, each in state["nodes"].items():
        local = int(name == mine["name"])
        row = {"type": "node", "id": f"node/{name}", "name": name, "local": local, "level": ""}
        rows.append(row | {"ip": each["ip"], "nodeid": each["id"], "online": int(each["online"])})
    return rows


def join_info():
    state = cluster()
    if state is None:
        raise Dies("node is not in a cluster, no join info available!")
    if any(not each["fp"] for each in state["nodes"].values()):
        raise Dies("unable to read certificate: no such file")
    nodes = [
        {
            "name": name,
            "nodeid": str(each["id"]),
            "pve_addr": each["ip"],
            "pve_fp": each["fp"],
            "quorum_votes": "1",
            "ring0_addr": each["ip"],
        }
        for name, each in state["nodes"].items()
    ]
    told = {"nodelist": nodes, "preferred_node": own()["name"], "config_digest": "0" * 40}
    return told | {"totem": {"cluster_name": state["name"], "version": "2"}}


# --- changing ---


def assert_joinable():
    faults = []
    if AUTH_KEY.exists():
        faults.append(f"* authentication key '{AUTH_KEY}' already exists")
    if CONF.exists():
        faults.append(f"* cluster config '{CONF}' already exists")
    if read(Path("/etc/pve/.vmlist"))["ids"]:
        faults.append("* this host already contains virtual guests")
    if own()["corosync"]:
        faults.append("* corosync is already running, is this node already in a cluster?!")
    if faults:
        said = "\n".join(faults)
        raise Dies(f"detected the following error(s):\n{said}\nCheck if node may join failed!")


def setup_ssh_keys():
    imported = False
    if not SHARED.exists():
        SHARED.write_text(ROOT_KEYS.read_text() if ROOT_KEYS.exists() else "")
        imported = True
    if ROOT_KEYS.is_file() and not ROOT_KEYS.is_symlink():
        ROOT_KEYS.rename(BACKUP)
    if not ROOT_KEYS.is_symlink():
        ROOT_KEYS.symlink_to(SHARED)
        if imported:
            BACKUP.unlink(missing_ok=True)


def merge_keys():
    data = SHARED.read_text() if SHARED.exists() else ""
    if BACKUP.exists():
        data = data.rstrip("\n") + "\n" + BACKUP.read_text()
        BACKUP.unlink()
    data = data.rstrip("\n") + "\n" + Path("/root/.ssh/id_rsa.pub").read_text()
    new = SHARED.with_suffix(".tmp")
    new.write_text("".join(f"{line}\n" for line in dict.fromkeys(data.splitlines()) if line))
    new.replace(SHARED)


def attach(state):
    """Have this node be of a cluster: its own configuration is gone, the cluster's is here."""
    mine = own()
    ids = [each["id"] for each in state["nodes"].values()]
    state["nodes"][mine["name"]] = {
        "id": max(ids, default=0) + 1,
        "ip": mine["ip"],
        "fp": renewed(mine["name"]),
        "online": not (WORLD / "unseen").exists(),
    }
    keep(state)
    link = Path("/etc/pve.new")
    link.symlink_to(WORLD / f"{state['name']}.cluster" / "pve")
    link.replace("/etc/pve")
    write(NODE / "state.json", mine | {"cluster": state["name"], "corosync": True})
    AUTH_KEY.parent.mkdir(exist_ok=True)
    AUTH_KEY.write_text("key")
    setup_ssh_keys()
    merge_keys()
    if (WORLD / "slow").exists():
        (NODE / "restarts").write_text("4")


def create(name):
    if CONF.exists():
        raise Dies(f"cluster config '{CONF}' already exists")
    base = WORLD / f"{name}.cluster"
    (base / "pve" / "priv").mkdir(parents=True)
    for each in (".vmlist", "priv/authorized_keys"):
        (base / "pve" / each).write_bytes((Path("/etc/pve") / each).read_bytes())
    (base / "pve" / "corosync.conf").write_text("totem {}\n")
    attach({"name": name, "nodes": {}})


def member_at(address):
    found = [each for each in WORLD.glob("*/state.json") if read(each).get("ip") == address]
    if not found:
        raise Dies(f"500 Can't connect to {address}:8006 (No route to host)")
    mine = read(found[0])
    if not mine["cluster"]:
        raise Dies("An error occurred on the cluster node: no cluster\nCluster join aborted!")
    return read(WORLD / f"{mine['cluster']}.cluster" / "state.json"), mine["name"]


def admitted(state, *, force):
    """Have the cluster take this node in, as its addnode does."""
    name = own()["name"]
    if not quorate(state):
        raise Dies("An error occurred on the cluster node: cluster not ready - no quorum?")
    if name in state["nodes"] and not force:
        said = f"An error occurred on the cluster node: can't add existing node '{name}'"
        raise Dies(f"{said}\nCluster join aborted!")


def join(options):
    noted(options)
    assert_joinable()
    setup_ssh_keys()
    address = options["hostname"]
    say(f"Establishing API connection with host '{address}'")
    state, name = member_at(address)
    if state["nodes"][name]["fp"] != options["fingerprint"]:
        raise Dies(f"500 Can't connect to {address}:8006 (hostname verification failed)")
    if (WORLD / "password").read_text() != options["password"]:
        raise Dies(f"401 authentication failure for '{options['password']}'")
    with locked():
        halted()
        admitted(state, force=False)
        attach(state)
    say(f"successfully added node '{own()['name']}' to cluster.")


def add(options):
    assert_joinable()
    setup_ssh_keys()
    address = options[""]
    state = member_at(address)[0]
    trusted = (WORLD / f"{state['name']}.cluster" / "pve/priv/authorized_keys").read_text()
    known = Path("/root/.ssh/known_hosts")
    if not known.exists() or f"{address} ssh-" not in known.read_text():
        raise Dies("Host key verification failed.\nunable to copy ssh ID: exit code 1")
    if Path("/root/.ssh/id_rsa.pub").read_text().strip() not in trusted:
        raise Dies(f"root@{address}: Permission denied\nunable to copy ssh ID: exit code 1")
    with locked():
        halted()
        admitted(state, force=True)
        attach(state)


def delnode(name):
    state = cluster()
    if state is None or not quorate(state):
        raise Dies("cluster not ready - no quorum?")
    if name not in state["nodes"]:
        raise Dies(f"Node/IP: {name} is not a known host of the cluster.")
    del state["nodes"][name]
    keep(state)


def halted():
    """Hang, where the world says so."""
    if (WORLD / "hangs").exists():
        (WORLD / "hanging").touch()
        signal.pause()


def noted(options):
    """Write down what a stranger on this machine sees of all processes meanwhile."""
    seen = b""
    for each in Path("/proc").glob("[0-9]*"):
        for file in ("cmdline", "environ"):
            try:
                seen += (each / file).read_bytes() + b"\n"
            except OSError:
                continue
    (WORLD / "processes").write_bytes(seen)


# --- the command line ---


def parsed(words):
    options = {}
    left = list(words)
    while left:
        word = left.pop(0)
        if not word.startswith("--"):
            options[""] = word
            continue
        name, equals, value = word[2:].partition("=")
        options[name] = value if equals else left.pop(0)
    return options


def pvesh(words):
    verb, path, *rest = words
    options = parsed(rest)
    reads = {"/cluster/status": status, "/cluster/config/join": join_info}
    if verb == "get":
        say(json.dumps(reads[path]()))
    elif (verb, path) == ("create", "/cluster/config/join"):
        try:
            with told():
                join(options)
            say("TASK OK")
        except Dies as exc:  # a worker's end, which pvesh does not heed
            say(f"TASK ERROR: {exc}")
        say(f"UPID:{own()['name']}:00001234:clusterjoin::root@pam:")
    else:
        raise Dies(f"no '{verb}' handler for '{path}'")


def pvecm(words):
    verb, *rest = words
    does = {"create": create, "delnode": delnode}
    with told():
        if verb == "add":
            add(parsed(rest))
        else:
            does[verb](rest[0])


def quorumtool(_words):
    if not own()["corosync"]:
        raise Dies("Cannot initialize CMAP service")


def main():
    words = sys.stdin.read().splitlines()
    does = {"pvesh": pvesh, "pvecm": pvecm, "corosync-quorumtool": quorumtool}
    try:
        does[sys.argv[1]](words)
    except Dies as exc:
        sys.exit(str(exc))


if __name__ == "__main__":
    main()

"""A host's join to its cluster: all in one login of the run's own key, which is gone at its end.

Source: specification of provisioning, §2.9; what is decided, `models.joining` says.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from actors.drivers import clusters, ssh
from actors.drivers.clusters import By, Node
from actors.drivers.deadline import Deadline
from actors.drivers.dial import Dial
from actors.drivers.errors import DriverError, Garbled, NotLetIn, Refused, Unsuccessful
from actors.drivers.ssh_keys import Login
from config.secrets import Secret
from models import joining
from models.errors import DomainError
from models.joining import CannotJoin, Cluster, Move, Wanted

SETTLE_S: Final = 60.0
"""Seconds in which a node's services start, and a cluster comes to see one that has joined it."""

LOOK_S: Final = 0.5
"""Between two looks whether it does."""

_TIMES: Final = 3
"""How often a key is removed: another node may write the shared file at the same moment."""

_MOST_MOVES: Final = 3

Tell = Callable[[str], None]
"""Takes what is being done, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a node is logged in to."""

    host: ssh.Host
    login: Login


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be joined to what: *host* by the run's own key, *member* as the site may.

    *password* is that of the member's root, or None to join by SSH.  *pause* waits so many seconds
    and raises where the join is no longer wanted.
    """

    want: Wanted
    host: Way
    member: Way | None
    key: str
    password: Secret | None = None
    pause: Callable[[float], None]
    tell: Tell = field(default=lambda _words: None)
    limit_s: float = 300.0


def join(plan: Plan, dial: Dial, deadline: Deadline) -> dict[str, Any]:
    """Bring the host into its cluster and make its run's key useless; return what is now so.

    May be repeated.  Raises DriverError; Refused carries the reason that a person is shown, and
    `result` what is so where the host is in its cluster all the same.
    """
    _demand_fit(plan)
    with ExitStack() as stack:
        there = None
        if plan.member is not None:
            there = _entered(stack, plan, plan.member, dial, deadline, name=plan.want.member)
        here = _host(stack, plan, dial, deadline)
        try:
            moves = _moved(plan, here, there, deadline)
        except DomainError as exc:
            raise Refused(exc.hinted) from exc
        nodes = (here,) if there is None else (here, there)
        found = _result(plan, here.cluster(), here, moves)
        plan.tell("removing the key of this rebuild")
        with _knowing(found):
            forget_key(plan.key, nodes, plan.pause)
    with _knowing(found):
        for way in (plan.host, plan.member):
            if way is not None:
                demand_refused(Way(host=way.host, login=plan.host.login), dial, deadline)
    return found


@contextmanager
def _knowing(found: Mapping[str, Any]) -> Iterator[None]:
    """Have what fails in the block carry what was found: the cluster is there, and others join."""
    try:
        yield
    except DriverError as exc:
        exc.result = {**found, "key_gone": False}
        raise


def _demand_fit(plan: Plan) -> None:
    given = "" if plan.password is None else plan.password.reveal()
    if len(given) > joining.LONGEST_PASSWORD or not given.isprintable():
        raise Refused(
            f"the cluster's password is over {joining.LONGEST_PASSWORD} characters, or has one "
            "that does not print"
        )
    if bool(plan.want.member) != (plan.member is not None):
        raise Refused("a member that is to be joined is to be logged in to")


def _entered(
    stack: ExitStack, plan: Plan, way: Way, dial: Dial, deadline: Deadline, *, name: str
) -> Node:
    session = stack.enter_context(ssh.session(way.host, way.login, dial, deadline))
    unsaid = () if plan.password is None or not plan.password.reveal() else (plan.password,)
    return Node(session, name, lambda: plan.pause(0), unsaid)


def _host(stack: ExitStack, plan: Plan, dial: Dial, deadline: Deadline) -> Node:
    """Log in to the host; a join that ended before it could tell leaves no other key than ours."""
    try:
        return _entered(stack, plan, plan.host, dial, deadline, name=plan.want.node)
    except NotLetIn:
        if plan.member is None:
            raise
        way = Way(host=plan.host.host, login=plan.member.login)
        return _entered(stack, plan, way, dial, deadline, name=plan.want.node)


# --- moves ---

_WORDS: Final[Mapping[Move, str]] = MappingProxyType(
    {
        Move.CREATE: "creating the cluster",
        Move.DELNODE: "removing the old entry of this host",
        Move.JOIN: "joining the cluster",
        Move.WAIT: "waiting for the cluster to see this host",
    }
)


def _moved(plan: Plan, here: Node, there: Node | None, deadline: Deadline) -> list[str]:
    """Do what is to be done until nothing is; return the moves.  Raises CannotJoin."""
    made: list[Move] = []
    said, settle = "", deadline.within(SETTLE_S)
    while True:
        try:
            member = None if there is None else there.cluster()
            move = joining.decide(plan.want, here.standing(), member)
        except (Unsuccessful, Garbled, CannotJoin) as exc:
            if settle.left <= 0 or (isinstance(exc, CannotJoin) and not made):
                raise
            plan.pause(LOOK_S)  # its services are being started, and tell this and that meanwhile
            continue
        if move is Move.DONE:
            return [each.value for each in made]
        if move is Move.WAIT:
            _wait(plan, settle, said)
            continue
        if move in made or len(made) == _MOST_MOVES:
            raise Unsuccessful(f"{_WORDS[move]} came to nothing: {said}")
        plan.tell(_WORDS[move])
        made.append(move)
        said = _do(move, plan, here, there, member)
        settle = deadline.within(SETTLE_S)


def _do(move: Move, plan: Plan, here: Node, there: Node | None, member: Cluster | None) -> str:
    by = By(password=plan.password, limit_s=plan.limit_s)
    if move is Move.CREATE:
        return clusters.create(here, plan.want, by)
    assert there is not None and member is not None  # noqa: S101, PT018 - for the type checker
    if move is Move.DELNODE:
        return clusters.delnode(there, plan.want, by)
    return clusters.join(here, there, plan.want, member, by)


def _wait(plan: Plan, settle: Deadline, said: str) -> None:
    if settle.left <= 0:
        raise Unsuccessful(
            f"{plan.want.node} has the cluster's configuration, and no quorum sees it"
            f"{': ' if said else ''}{said}"
        )
    plan.tell(_WORDS[Move.WAIT])
    plan.pause(LOOK_S)


# --- the key ---


def forget_key(key: str, nodes: tuple[Node, ...], pause: Callable[[float], None]) -> None:
    """Remove the run's *key* wherever it may lie.  Raises Unsuccessful where it stays."""
    left: list[str] = []
    for _ in range(_TIMES):
        for node in nodes:
            node.forget(key)
        left = [f"{file} of {node.name}" for node in nodes for file in node.holding(key)]
        if not left:
            return
        pause(LOOK_S)
    raise Unsuccessful(f"the key of this rebuild cannot be removed: it is in {', '.join(left)}")


def demand_refused(way: Way, dial: Dial, deadline: Deadline) -> None:
    """Return if a node does not let the run's key in.  Raises Unsuccessful where it does."""
    try:
        with ssh.session(way.host, way.login, dial, deadline):
            pass
    except NotLetIn:
        return
    raise Unsuccessful(f"the key of this rebuild is removed, and {way.host.address} lets it in")


def _result(plan: Plan, its: Cluster | None, here: Node, moves: list[str]) -> dict[str, Any]:
    node = None if its is None else its.node(plan.want.node)
    if its is None or node is None:
        raise Unsuccessful(f"{plan.want.node} has left the cluster again")
    return {
        "cluster": its.name,
        "node": node.name,
        "nodes": sorted(each.name for each in its.nodes),
        "fingerprint": node.fingerprint,
        "host_key": here.session.host_key,
        "moves": moves,
        "key_gone": True,
    }

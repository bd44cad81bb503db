"""The run's key taken from a host that did not join, and from the node that it was to join by."""

from collections.abc import Callable
from dataclasses import dataclass

from actors.drivers import join, ssh
from actors.drivers.clusters import Node
from actors.drivers.deadline import Deadline
from actors.drivers.dial import Dial
from actors.drivers.errors import DriverError, NotLetIn
from actors.drivers.join import Way
from actors.drivers.ssh_keys import Login


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """What is to be left: *host* by *name*, let in by *key*; *member* says how the other is
    logged in to, where there is one.

    *pause* waits so many seconds, and raises where this is another's by now.
    """

    name: str
    host: ssh.Host
    key: Login
    member: Callable[[], Way | None]
    pause: Callable[[float], None]


def leave(what: Leaving, dial: Dial, deadline: Deadline) -> None:
    """Have neither let the key in; may be repeated.  Raises DriverError, once both were tried.

    What a join had merged into the file that a cluster shares is there whatever the host says.
    """
    failed: list[DriverError] = []
    own = Way(host=what.host, login=what.key)
    for name, way_of in ((what.name, lambda: own), ("", what.member)):
        try:
            way = way_of()
            if way is not None:
                _left(what, name or way.host.address, way, dial, deadline)
        except DriverError as exc:
            failed.append(exc)
    if failed:
        raise failed[0]


def _left(what: Leaving, name: str, way: Way, dial: Dial, deadline: Deadline) -> None:
    try:
        with ssh.session(way.host, way.login, dial, deadline) as session:
            node = Node(session, name, lambda: what.pause(0))
            join.forget_key(what.key.public, (node,), what.pause)
    except NotLetIn:
        if way.login is what.key:
            return
        raise
    join.demand_refused(Way(host=way.host, login=what.key), dial, deadline)

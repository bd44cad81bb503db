"""Messages that nobody should have to take, each with what its dead letter must say of it."""

import json
import time
from contextlib import suppress
from dataclasses import dataclass
from uuid import uuid4

from models import messages
from models.messages import Envelope, Kind, encoded, sealed
from tests.actors.lane import until


@dataclass(frozen=True)
class Bad:
    """One message, and what its dead letter must say: *detail* somewhere in its own."""

    name: str
    queue: str
    body: bytes
    reason: str
    detail: str

    def told(self, letters):
        letter = letters.get((self.queue, self.body))
        return letter is not None and letter.reason == self.reason and self.detail in letter.detail


class Attacker:
    """Holds the keys of two sites, and says what it likes on *queue*, most of it for the first."""

    def __init__(self, queue, actor, kind, *, keys, agent=None):
        self.queue, self.actor, self.kind = queue, actor, kind
        (self.site, self.key), (self.other, self.others_key) = keys.items()
        self.agent = agent or uuid4()

    def letter(self, *, key=None, queue=None, actor=None, body=None, **said):
        """Return a message of this site, with what is wrong about it."""
        usual = {"kind": self.kind, "site": self.site, "agent": self.agent}
        envelope = Envelope(**usual | said, body=body or {})
        message = {"message": sealed(envelope, key or self.key)}
        return encoded(actor or self.actor, queue or self.queue, message, now=time.time())

    def bad(self, name, said, detail=""):
        """Return a message with *said* in it, which an actor must reject."""
        return Bad(name, self.queue, self.letter(**said), "rejected", detail)

    def bent(self, **fields):
        """Return a message whose envelope has *fields*, signed as it then is."""
        envelope = Envelope(kind=self.kind, site=self.site, agent=self.agent)
        body = sealed(envelope, self.key)["envelope"] | fields
        signature = messages._signature(body, self.key)
        signed = {"message": {"envelope": body, "signature": signature}}
        return encoded(self.actor, self.queue, signed, now=time.time())

    def outer(self, **fields):
        return json.dumps(json.loads(self.letter()) | fields).encode()


def deep(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


OTHER = {Kind.HEARTBEAT: Kind.TASK, Kind.RENEW: Kind.TASK, Kind.CANCEL: Kind.REGISTER}
HOSTILE = {
    "unsigned": (lambda a: a.letter(key=b"none"), "rejected", "Denied"),
    "signed by another site": (lambda a: a.letter(key=a.others_key), "rejected", "Denied"),
    "for another site": (lambda a: a.letter(site=a.other), "rejected", "Denied"),
    "of the other direction": (lambda a: a.letter(kind=OTHER[a.kind]), "rejected", "Invalid"),
    "for no site": (lambda a: a.letter(site=uuid4()), "rejected", ""),
    "unknown actor": (lambda a: a.outer(actor_name="root"), "unknown-actor", "root"),
    "control's own actor": (lambda a: a.outer(actor_name="advance"), "unknown-actor", "advance"),
    "unsupported version": (lambda a: a.bent(v=99), "rejected", "version 99"),
    "unknown kind": (lambda a: a.bent(kind="reign"), "rejected", "Invalid"),
    "not JSON": (lambda a: b"\x00\xff{", "malformed", "not JSON"),
    "deep JSON": (lambda a: b'{"kwargs":' + b"[" * 100_000, "malformed", "not JSON"),
    "a body that is none": (lambda a: a.bent(body=7), "rejected", ""),
    "an agent that is none": (lambda a: a.bent(agent={"$ne": 1}), "rejected", "Invalid"),
    "a site that is none": (lambda a: a.bent(site=["x"]), "rejected", "Invalid"),
    "an epoch that is none": (lambda a: a.bent(epoch="x" * 50), "rejected", "Invalid"),
    "no message": (lambda a: a.outer(kwargs={}), "rejected", "TypeError"),
    "a message that is none": (lambda a: a.outer(kwargs={"message": [1]}), "rejected", ""),
    "arguments too many": (lambda a: a.outer(args=[1, 2]), "rejected", "TypeError"),
    "an id of megabytes": (lambda a: a.outer(message_id="x" * 70_000), "malformed", "no id"),
    "a delay": (lambda a: a.outer(options={"eta": 1}), "malformed", "delayed"),
    "past its age": (lambda a: a.outer(options={"expires_at": 1}), "expired", "too late"),
}


def hostile(attacker, bodies):
    """Return messages, each with the reason and the detail of its dead letter.

    *bodies* by name: what is well-formed but for its body, as (kind, body).
    """
    bad = [
        Bad(name, attacker.queue, make(attacker), *why) for name, (make, *why) in HOSTILE.items()
    ]
    for name, (kind, body) in bodies.items():
        bad.append(attacker.bad(name, {"kind": kind, "body": body}))
    return bad


def wrong(bad, kept, *, seconds=30):
    """Return what became of each that has not the dead letter it must have, by name.

    *kept* returns dead letters by (queue, body).
    """

    def found():
        letters = kept()
        return {
            each.name: letters.get((each.queue, each.body))
            for each in bad
            if not each.told(letters)
        }

    with suppress(AssertionError):
        until(lambda: not found(), seconds=seconds)
    return found()

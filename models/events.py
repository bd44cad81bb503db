"""What other systems are told of machines and discoveries: CloudEvents 1.0, in order for each.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md, with the extension
`sequence` (cloudevents/extensions/sequence.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

SHARDS: Final = 16
"""A subject's events all lie in one shard, and a shard is published by one relay at a time."""


class About(StrEnum):
    """What an event is about, as its type and routing key say it."""

    MACHINE = "machine"
    DISCOVERY = "discovery"


_COLLECTIONS: Final[Mapping[About, str]] = {
    About.MACHINE: "machines",
    About.DISCOVERY: "discoveries",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainEvent:
    """One event: *kind* is the last word of its type, *seq* counts from 1 for each subject.

    *subject* is a machine's host name, or a discovery's MAC.
    """

    id: int
    subject_id: UUID
    subject: str
    site: str
    seq: int
    kind: str
    at: datetime
    request_id: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    about: About = About.MACHINE
    site_id: UUID | None = field(default=None, compare=False)

    @property
    def routing_key(self) -> str:
        """The key on the topic exchange: `site.<slug>.machine.<event>`, or `….discovery.…`."""
        return f"site.{self.site}.{self.about}.{self.kind}"

    def cloud_event(self) -> dict[str, Any]:
        """Return the event as CloudEvents JSON: the same, byte for byte, however often it is sent.

        A consumer tells a repetition by `source` and `id`, and the order by `sequence`.
        """
        return {
            "specversion": "1.0",
            "id": f"{self.subject_id}/{self.seq}",
            "source": f"/sites/{self.site}/{_COLLECTIONS[self.about]}/{self.subject_id}",
            "type": f"sprout.{self.about}.{self.kind}",
            "subject": self.subject,
            "time": self.at.isoformat().replace("+00:00", "Z"),
            "datacontenttype": "application/json",
            "sequence": f"{self.seq:012d}",
            "sproutrequestid": self.request_id or "none",
            "data": dict(self.data),
        }


def shard(subject: UUID) -> int:
    """Return the shard that all events of a machine or discovery lie in."""
    return subject.int % SHARDS

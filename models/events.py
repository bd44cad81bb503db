"""What other systems are told of a machine: CloudEvents 1.0, in order per machine.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md, with the extension
`sequence` (cloudevents/extensions/sequence.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

SHARDS: Final = 16
"""A machine's events all lie in one shard, and a shard is published by one relay at a time."""

TYPE: Final = "sprout.machine."


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainEvent:
    """One event: *kind* is the last word of its type, *seq* counts from 1 for each machine."""

    id: int
    machine: UUID
    hostname: str
    site: str
    seq: int
    kind: str
    at: datetime
    request_id: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def routing_key(self) -> str:
        """The key on the topic exchange: `site.<slug>.machine.<event>`."""
        return f"site.{self.site}.machine.{self.kind}"

    def cloud_event(self) -> dict[str, Any]:
        """Return the event as CloudEvents JSON: the same, byte for byte, however often it is sent.

        A consumer tells a repetition by `source` and `id`, and the order by `sequence`.
        """
        return {
            "specversion": "1.0",
            "id": f"{self.machine}/{self.seq}",
            "source": f"/sites/{self.site}/machines/{self.machine}",
            "type": f"{TYPE}{self.kind}",
            "subject": self.hostname,
            "time": self.at.isoformat().replace("+00:00", "Z"),
            "datacontenttype": "application/json",
            "sequence": f"{self.seq:012d}",
            "sproutrequestid": self.request_id or "none",
            "data": dict(self.data),
        }


def shard(machine: UUID) -> int:
    """Return the shard that all of the machine's events lie in."""
    return machine.int % SHARDS

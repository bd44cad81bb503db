"""Machines that nobody entered, which asked to boot."""

from uuid import uuid4

from peewee import BigIntegerField, IntegerField, TextField, UUIDField
from playhouse.postgres_ext import (  # type: ignore[import-untyped] # no stubs
    DateTimeTZField,
)

from models.rows.fields import Inet, Mac, Table


class Discovery(Table):
    """One MAC at one site: *arch* is its code of RFC 4578, *times* how often it was told of."""

    id = UUIDField(primary_key=True, default=uuid4)
    site_id = UUIDField()
    mac = Mac()
    state = TextField()
    smbios_uuid = UUIDField(null=True)
    arch = IntegerField(null=True)
    vendor_class = TextField()
    relay = Inet(null=True)
    address = Inet(null=True)
    agent_id = UUIDField(null=True)
    times = BigIntegerField()
    first_seen = DateTimeTZField()
    last_seen = DateTimeTZField()
    machine_id = UUIDField(null=True)
    decided_by = TextField()
    decided_at = DateTimeTZField(null=True)
    event_seq = BigIntegerField()

    class Meta:
        table_name = "discoveries"


class DiscoveryDrop(Table):
    """How many discoveries of a site were forgotten because there were too many."""

    site_id = UUIDField(primary_key=True)
    dropped = BigIntegerField()
    last_at = DateTimeTZField()

    class Meta:
        table_name = "discovery_drops"

"""What control is to do outside of the database, and what other systems hold because of it."""

from uuid import uuid4

from peewee import IntegerField, TextField, UUIDField
from playhouse.postgres_ext import (  # type: ignore[import-untyped] # no stubs
    DateTimeTZField,
)

from models.rows.fields import Table, jsonb


class Errand(Table):
    """One thing to do; *wake_at* is when it may be taken: while it runs, when its lease is over.

    Of those with the same *lane* one runs at a time; an empty one is none.
    """

    id = UUIDField(primary_key=True, default=uuid4)
    name = TextField()
    subject = UUIDField()
    workflow_id = UUIDField(null=True)
    site_id = UUIDField(null=True)
    key = TextField()
    lane = TextField(default="")
    params = jsonb()
    state = TextField()
    fence = IntegerField()
    attempt = IntegerField()
    tries = IntegerField()
    backoff_s = IntegerField()
    detail = TextField()
    result = jsonb(null=True)
    request_id = TextField()
    created_at = DateTimeTZField()
    wake_at = DateTimeTZField()
    deadline_at = DateTimeTZField()
    finished_at = DateTimeTZField(null=True)

    class Meta:
        table_name = "errands"


class Holding(Table):
    """What a provider holds for a machine, or may: asked, held, leaving, then gone or left there.

    *params* is what it was asked by, *key* under which; *name* is the MAC, name or interface.
    *workflow_id* is whose it is; of a machine that is handed out, the order's.
    """

    id = UUIDField(primary_key=True, default=uuid4)
    capability = TextField()
    machine_id = UUIDField()
    site_id = UUIDField()
    workflow_id = UUIDField()
    allocation_id = UUIDField(null=True)
    name = TextField()
    params = jsonb()
    key = TextField()
    provider = TextField()
    external_id = TextField()
    state = TextField()
    detail = TextField()
    created_at = DateTimeTZField()
    gone_at = DateTimeTZField(null=True)

    class Meta:
        table_name = "holdings"

"""Who asked for what, and the deployment's own keys."""

from peewee import BigAutoField, BigIntegerField, BlobField, TextField, UUIDField
from playhouse.postgres_ext import (  # type: ignore[import-untyped] # no stubs
    ArrayField,
    DateTimeTZField,
)

from models.rows.fields import Table, jsonb


class Audit(Table):
    """What was asked, by whom, and how it was answered.  Rows are added, never changed."""

    id = BigAutoField()
    at = DateTimeTZField()
    actor = TextField()
    action = TextField()
    object_kind = TextField()
    object_id = TextField()
    site_id = UUIDField(null=True)
    machine_id = UUIDField(null=True)
    outcome = TextField()
    reason = TextField()
    request_id = TextField()
    source_ip = TextField()
    data = jsonb()

    class Meta:
        table_name = "audit"


class AuditSeal(Table):
    id = BigAutoField()
    first_id = BigIntegerField()
    last_id = BigIntegerField()
    ids = ArrayField(BigIntegerField, index=False)
    previous = TextField()
    hash = TextField()
    sealed_at = DateTimeTZField()

    class Meta:
        table_name = "audit_seals"


class SignInCode(Table):
    hash = TextField(primary_key=True)
    name = TextField()
    subject = TextField()
    owner = TextField()
    grants = jsonb()
    expires_at = DateTimeTZField()
    used_at = DateTimeTZField(null=True)
    until = DateTimeTZField(null=True)

    class Meta:
        table_name = "sign_in_codes"


class Key(Table):
    """A key that the deployment made for itself."""

    name = TextField(primary_key=True)
    value = BlobField()

    class Meta:
        table_name = "keys"

"""Who comes in: tokens of programs, sessions of browsers, and passwords that were tried."""

from peewee import BigAutoField, TextField, UUIDField
from playhouse.postgres_ext import (  # type: ignore[import-untyped] # no stubs
    DateTimeTZField,
)

from models.rows.fields import Table, jsonb


class ApiToken(Table):
    """What a program shows; *sites* are ids, null for all."""

    id = UUIDField(primary_key=True)
    name = TextField()
    hash = TextField()
    role = TextField()
    sites = jsonb(null=True)
    created_by = TextField()
    person = TextField()
    created_at = DateTimeTZField()
    expires_at = DateTimeTZField()
    last_used_at = DateTimeTZField(null=True)
    revoked_at = DateTimeTZField(null=True)
    revoked_by = TextField(default="")

    class Meta:
        table_name = "api_tokens"


class Session(Table):
    hash = TextField(primary_key=True)
    data = jsonb()
    created_at = DateTimeTZField()
    expires_at = DateTimeTZField()

    class Meta:
        table_name = "sessions"


class LoginAttempt(Table):
    """A password that was tried, and was not the right one yet."""

    id = BigAutoField()
    source = TextField()
    at = DateTimeTZField()

    class Meta:
        table_name = "login_attempts"

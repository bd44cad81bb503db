"""Columns that PostgreSQL knows and peewee does not, and the bases of all tables."""

from typing import Any

from peewee import IntegerField, Model, TextField
from playhouse.postgres_ext import (  # type: ignore[import-untyped] # no stubs
    BinaryJSONField,
    DateTimeTZField,
)
from psycopg2.extras import Json

from models.database import database


class Inet(TextField):
    """An IPv4 address, kept by PostgreSQL as such."""

    field_type = "INET"


class Cidr(TextField):
    """An IPv4 network."""

    field_type = "CIDR"


class Mac(TextField):
    """A MAC address; PostgreSQL returns it in the canonical form."""

    field_type = "MACADDR"


class Transaction(TextField):
    """The number of a transaction, which grows; compared by PostgreSQL alone."""

    field_type = "XID8"


class _Jsonb(BinaryJSONField):  # type: ignore[misc] # its base has no stubs
    def db_value(self, value: Any) -> Any:
        return None if value is None else Json(value)


def jsonb(*, null: bool = False) -> Any:
    """Return a column of plain JSON; Any, since its values are what callers know they are."""
    return _Jsonb(index=False, null=null)


class Table(Model):
    """Base of all tables."""

    class Meta:
        database = database
        legacy_table_names = False
        only_save_dirty = True  # a lease may be renewed beside a transaction that holds its row


class Stamped(Table):
    """A record that operators edit: *version* is its optimistic lock."""

    version = IntegerField(default=1)
    created_at = DateTimeTZField()
    updated_at = DateTimeTZField()

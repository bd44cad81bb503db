"""Columns that PostgreSQL knows and peewee does not, and the bases of all tables."""

from functools import cache
from typing import Any, Self

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
    """Base of all tables.

    What is asked all the time is asked by constant SQL: to build a statement of thirty columns
    takes longer than to run it.
    """

    class Meta:
        database = database
        legacy_table_names = False
        only_save_dirty = True  # a lease may be renewed beside a transaction that holds its row

    @classmethod
    def create(cls, **columns: Any) -> Self:
        """Insert a row of *columns*, each a value, and return it."""
        row = cls(**columns)
        if cls._meta.composite_key:
            row.save(force_insert=True)
            return row
        key: Any = cls._meta.primary_key
        sql = cls._insert(tuple(row.__data__))
        (identifier,) = database.execute_sql(sql, row._values()).fetchone()
        setattr(row, key.name, identifier)
        row._dirty.clear()  # type: ignore[attr-defined] # peewee's own
        return row

    @classmethod
    def record(cls, **columns: Any) -> None:
        """Insert a row of *columns* that nobody asks for again, before the transaction goes on."""
        cls._later(cls(**columns), "")

    @classmethod
    def ensure(cls, **columns: Any) -> None:
        """Insert a row of *columns* in the same way, unless it is there."""
        cls._later(cls(**columns), " ON CONFLICT DO NOTHING")

    @classmethod
    def _later(cls, row: Self, on_conflict: str) -> None:
        sql, _, _ = cls._insert(tuple(row.__data__), on_conflict).rpartition(" RETURNING ")
        database.later(sql, row._values())

    def _values(self) -> list[Any]:
        fields = self._meta.fields
        return [fields[name].db_value(value) for name, value in self.__data__.items()]

    @classmethod
    def first_where(cls, where: str, *values: Any) -> Self | None:
        """Return the first row that meets the SQL *where*, which may say an order and a lock."""
        return next(iter(cls.all_where(where, *values)), None)

    @classmethod
    def all_where(cls, where: str, *values: Any) -> list[Self]:
        """Return all rows that do."""
        return list(cls.raw(f"{cls._select()} WHERE {where}", *values))

    @classmethod
    def get_by_id(cls, pk: Any) -> Self:
        """Return the row with this primary key.  Raises DoesNotExist."""
        key: Any = cls._meta.primary_key
        found = cls.first_where(f"{key.column_name} = %s", key.db_value(pk))
        if found is None:
            raise cls.DoesNotExist(f"no {cls.__name__} {pk}")  # type: ignore[attr-defined]  # made
        return found

    @classmethod
    @cache
    def _select(cls) -> str:
        return f'SELECT * FROM "{cls._meta.table_name}"'  # noqa: S608 - names of our own

    @classmethod
    @cache
    def _insert(cls, names: tuple[str, ...], on_conflict: str = "") -> str:
        meta: Any = cls._meta
        columns = ", ".join(f'"{meta.fields[name].column_name}"' for name in names)
        marks, key = ", ".join(["%s"] * len(names)), meta.primary_key.column_name
        into = f'INSERT INTO "{meta.table_name}" ({columns}) VALUES ({marks})'  # noqa: S608 - as above
        return f'{into}{on_conflict} RETURNING "{key}"'


class Stamped(Table):
    """A record that operators edit: *version* is its optimistic lock."""

    version = IntegerField(default=1)
    created_at = DateTimeTZField()
    updated_at = DateTimeTZField()

import pytest

from models import tables
from models.database import database

pytestmark = pytest.mark.services


@pytest.mark.parametrize("table", tables.ALL, ids=lambda t: t.__name__)
def test_each_class_maps_its_table_column_by_column(db, table):
    rows = database.execute_sql(
        "SELECT column_name FROM information_schema.columns WHERE table_name = %s",
        (table._meta.table_name,),
    )

    assert {row[0] for row in rows} == set(table._meta.columns)

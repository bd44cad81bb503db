"""A real database for each test: a copy of one that was migrated once."""

import secrets

import psycopg2
import pytest

from models import database as pool
from models.migrations import runner
from tests.services import postgres


@pytest.fixture(scope="session")
def migrated():
    with postgres.running() as cluster:
        url = cluster.fresh_database()
        pool.configure(url, connections=4)
        runner.migrate()
        pool.database.close_all()
        yield cluster, url.rpartition("/")[2]


@pytest.fixture
def database_url(migrated):
    cluster, template = migrated
    name = f"t{secrets.token_hex(6)}"
    connection = psycopg2.connect(cluster.url())
    connection.autocommit = True
    connection.cursor().execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    connection.close()
    pool.configure(cluster.url(name), connections=8)
    yield cluster.url(name)
    pool.database.close_all()


@pytest.fixture
def db(database_url):
    with pool.borrowed():
        yield database_url

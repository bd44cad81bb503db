"""What holds for every suite: nothing is skipped, for a test that did not run proves nothing.

The database of a test is real and its own: a copy of one that was migrated once a session.
"""

import ast
import os
import secrets
import threading
from contextlib import closing, contextmanager, suppress
from functools import wraps

import psycopg2
import pytest
from hypothesis import settings

from models import database as pool
from models.migrations import runner
from tests.services import postgres as server


def _one_at_a_time(parse):
    lock = threading.RLock()

    @wraps(parse)
    def alone(*args, **kwargs):
        with lock:
            return parse(*args, **kwargs)

    return alone


# CPython 3.11 counts the depth of a tree in one place for all threads: one that shows a traceback,
# while another reads a test, ends that by "AST constructor recursion depth mismatch" (its issue
# 106905), if garbage is collected just then.
ast.parse = _one_at_a_time(ast.parse)


# What a generated example takes says how busy the machine is; what is tried is the same each time.
settings.register_profile("sprout", deadline=None, derandomize=True)
settings.load_profile("sprout")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Turn a skip into a failure that names its reason."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and nothing may be: {call.excinfo.value}"
    return report


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch):
    """Keep the tests apart from the SPROUT_* variables of whoever runs them."""
    for name in [name for name in os.environ if name.startswith("SPROUT_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def postgres():
    """A fresh cluster."""
    with server.running(durable=False) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def migrated(postgres):
    """The name of a database with our schema and nothing in it, to be copied."""
    url = postgres.fresh_database()
    pool.configure(url, connections=4)
    runner.migrate()
    pool.database.close_all()
    return url.rpartition("/")[2]


@contextmanager
def copied(cluster, template):
    """The URL of a clean database that the pool of this process points to, for the block."""
    name = f"t{secrets.token_hex(6)}"
    _order(cluster, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    pool.configure(cluster.url(name), connections=8)
    try:
        yield cluster.url(name)
    finally:
        pool.database.close_all()
        with suppress(psycopg2.OperationalError):  # a test may have ended the cluster
            _order(cluster, f'DROP DATABASE "{name}" WITH (FORCE)')


def _order(cluster, statement):
    with closing(psycopg2.connect(cluster.url())) as connection:
        connection.autocommit = True
        connection.cursor().execute(statement)


@pytest.fixture
def database_url(postgres, migrated):
    """A clean database of the test's own."""
    with copied(postgres, migrated) as url:
        yield url


@pytest.fixture
def db(database_url):
    """The same, with a connection borrowed for the whole test."""
    with pool.borrowed():
        yield database_url

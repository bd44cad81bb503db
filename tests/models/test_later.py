"""What is left for later reaches the server in front of what is asked next, and never alone."""

from threading import Thread

import pytest
from peewee import DatabaseError, IntegrityError

from models import database as pool
from models.database import database

pytestmark = pytest.mark.services


@pytest.fixture
def rows(db):
    """A table of numbers, one of each."""
    database.execute_sql("CREATE TABLE numbers (n integer PRIMARY KEY, word text)")


def later(number, word=""):
    database.later("INSERT INTO numbers VALUES (%s, %s)", (number, word))


def kept():
    return [n for (n,) in database.execute_sql("SELECT n FROM numbers ORDER BY n").fetchall()]


def seen_elsewhere():
    found = []

    def look():
        with pool.borrowed():
            found.extend(kept())

    looking = Thread(target=look)
    looking.start()
    looking.join()
    return found


def test_what_was_left_for_later_is_there_for_the_next_statement(rows):
    with database.atomic():
        later(1)
        later(2)

        assert kept() == [1, 2]


def test_what_was_left_for_later_is_committed_with_the_rest_and_not_before(rows):
    with database.atomic():
        later(1)
        before = seen_elsewhere()

    assert (before, seen_elsewhere()) == ([], [1])


def test_without_a_transaction_nothing_is_put_off(rows):
    later(1)

    assert seen_elsewhere() == [1]


def broken_off(*numbers):
    with database.atomic():
        for number in numbers:
            later(number)
        raise ZeroDivisionError


def test_a_transaction_that_is_broken_off_leaves_nothing(rows):
    with pytest.raises(ZeroDivisionError):
        broken_off(1)

    assert kept() == []


def test_a_savepoint_takes_back_what_came_after_it_alone(rows):
    with database.atomic():
        later(1)
        with pytest.raises(ZeroDivisionError):
            broken_off(2)
        later(3)

    assert kept() == [1, 3]


def twice_one(then):
    with database.atomic():
        later(2)
        later(1)
        then()


@pytest.mark.parametrize("ask", [kept, lambda: None])
def test_what_the_server_has_against_it_ends_the_transaction(rows, ask):
    later(1)

    with pytest.raises(IntegrityError):
        twice_one(ask)

    assert kept() == [1]


def test_after_a_failure_the_connection_is_as_good_as_new(rows):
    with pytest.raises(DatabaseError), database.atomic():
        later("no number")

    with database.atomic():
        later(1)

    assert kept() == [1]


@pytest.mark.parametrize("word", ["100 %", "%s", "a;b", "'; DROP TABLE numbers; --", "\\", "ö"])
def test_values_stay_values(rows, word):
    with database.atomic():
        later(1, word)
        (found,) = database.execute_sql("SELECT word FROM numbers WHERE n = %s", (1,)).fetchone()

    assert found == word


def test_a_transaction_in_which_nothing_is_asked_says_nothing(rows, monkeypatch):
    said = []
    monkeypatch.setattr(database, "cursor", lambda: said.append(1))

    with database.atomic():
        pass
    with pytest.raises(ZeroDivisionError):
        broken_off()

    assert said == []


def test_what_one_thread_puts_off_is_no_others(rows):
    with database.atomic():
        later(1)
        seen_elsewhere()

        assert kept() == [1]

"""Which part of a file an answer holds: RFC 9110 §13 and §14."""

import os

import pytest

from pxe_stack import files
from pxe_stack.directory import StoredFile
from pxe_stack.http_answer import Unsatisfiable, part
from pxe_stack.http_message import Request

CONTENT = bytes(range(100))
ETAG = f'"{"ab" * 32}"'


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return StoredFile("os/file", path, "ab" * 32, 100, path.stat().st_mtime_ns)


def ask(stored, method="GET", **fields):
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    return files.answer(stored, Request(method=method, path="/", fields=named))


RANGES = {
    None: None,
    "bytes=0-0": (0, 1),
    "bytes=10-19": (10, 10),
    "bytes=90-": (90, 10),
    "bytes=90-1000": (90, 10),
    "bytes=-10": (90, 10),
    "bytes=-1000": (0, 100),
    "bytes=5-2": None,
    "bytes=a-b": None,
    "bytes=-": None,
    "bytes=": None,
    "chunks=0-1": None,
    "bytes=0-1,5-9": None,
    "bytes=200-,5-9": None,
    "bytes=" + ",".join(["0-1"] * 100): None,
}


@pytest.mark.parametrize("header", RANGES)
def test_a_range_is_the_part_that_it_names(header):
    assert part(header, 100) == RANGES[header]


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=-0", "bytes=200-300", "bytes=100-,200-"])
def test_a_range_outside_the_file_is_unsatisfiable(header):
    with pytest.raises(Unsatisfiable):
        part(header, 100)


def test_a_range_is_sent_with_where_it_lies(stored):
    made = ask(stored, range="bytes=10-19")

    assert made.status == 206
    assert (made.body.start, made.body.length, made.size) == (10, 10, 10)
    assert made.fields["Content-Range"] == "bytes 10-19/100"
    made.body.close()


def test_every_answer_names_the_content(stored):
    made = ask(stored)

    assert made.fields["ETag"] == ETAG
    assert made.fields["Repr-Digest"].startswith("sha-256=:q6urq6")
    assert made.fields["Accept-Ranges"] == "bytes"
    made.body.close()


@pytest.mark.parametrize(
    ("condition", "status"),
    [(ETAG, 206), (f"W/{ETAG}", 200), ('"else"', 200), ("Sat, 21 Nov 2026 08:00:00 GMT", 200)],
)
def test_a_range_of_another_version_is_the_whole_of_this_one(stored, condition, status):
    made = ask(stored, range="bytes=0-9", if_range=condition)

    assert made.status == status
    made.body.close()


@pytest.mark.parametrize("condition", [ETAG, f'"x", W/{ETAG}', "*"])
def test_what_the_client_has_is_not_sent(stored, condition):
    made = ask(stored, if_none_match=condition, range="bytes=0-9")

    assert (made.status, made.body) == (304, b"")


def test_head_tells_the_size_and_takes_no_range(stored):
    made = ask(stored, "HEAD", range="bytes=0-9")

    assert (made.status, made.size, made.body) == (200, 100, b"")


def test_an_unsatisfiable_range_is_told_the_size(stored):
    made = ask(stored, range="bytes=100-")

    assert (made.status, made.size) == (416, 0)
    assert made.fields["Content-Range"] == "bytes */100"


@pytest.mark.parametrize("spoil", ["grown", "touched", "gone"])
def test_a_file_that_is_no_longer_what_was_verified_is_not_sent(stored, spoil):
    if spoil == "grown":
        stored.location.write_bytes(CONTENT + b"!")
    elif spoil == "touched":
        os.utime(stored.location, ns=(0, 1))
    else:
        stored.location.unlink()

    with pytest.raises(files.Changed):
        ask(stored)

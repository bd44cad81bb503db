"""Blobs on their way in: joined, verified, visible only then, whoever meets whom."""

import errno
import hashlib
import io
import os
import random
import threading
import time

import pytest

from edge import uploads
from edge.errors import BlobTooLarge, DiskFull, Gap, Malformed, Mismatch
from edge.uploads import Came, Part, Uploads, part
from models.blobs import place

BODY = random.Random(5).randbytes(5000)
SHA = hashlib.sha256(BODY).hexdigest()
WHOLE = Part(0, 5000, 5000)
ME, YOU = "site:1/task:1", "site:2/task:2"


@pytest.fixture
def inbox(tmp_path):
    return Uploads(tmp_path)


def send(inbox, found=WHOLE, body=BODY, *, holder=ME, sha=SHA, most=10_000):
    piece = body[found.start : found.start + found.length]
    return inbox.receive(sha, holder, found, io.BytesIO(piece).read, most=most)


def visible(tmp_path, sha=SHA):
    location = tmp_path / place(sha)
    return location.read_bytes() if location.exists() else None


@pytest.mark.parametrize(
    ("header", "length", "found"),
    [
        (None, 10, Part(0, 10, 10)),
        (None, 0, Part(0, 0, 0)),
        ("bytes 0-9/10", 10, Part(0, 10, 10)),
        ("bytes 5-9/20", 5, Part(5, 5, 20)),
        (" bytes 5-5/6 ", 1, Part(5, 1, 6)),
    ],
)
def test_a_part_is_read(header, length, found):
    assert part(header, length) == found


@pytest.mark.parametrize(
    ("header", "length"),
    [
        ("bytes 0-9/10", 9),
        ("bytes 0-9/10", 11),
        ("bytes 9-0/10", 10),
        ("bytes 0-10/10", 11),
        ("bytes 0-9/*", 10),
        ("bytes */10", 10),
        ("bytes -5/10", 5),
        ("bytes -1-3/10", 5),
        ("bytes 0-9/10, 0-9/10", 10),
        ("bytes=0-9/10", 10),
        ("bits 0-9/10", 10),
        ("bytes 0x0-9/10", 10),
        ("bytes \u0660-9/10", 10),
        ("bytes 0-9999999999999999999/99999999999999999999", 10),
        ("", 10),
    ],
)
def test_a_hostile_content_range_is_refused(header, length):
    with pytest.raises(Malformed):
        part(header, length)


def test_a_whole_blob_is_visible_at_once(inbox, tmp_path):
    assert send(inbox) == Came(5000, whole=True)

    assert visible(tmp_path) == BODY
    assert (tmp_path / place(SHA)).stat().st_mode & 0o777 == 0o600


def test_an_empty_blob_is_a_blob(inbox, tmp_path):
    empty = hashlib.sha256().hexdigest()

    assert send(inbox, Part(0, 0, 0), b"", sha=empty).whole
    assert visible(tmp_path, empty) == b""


def test_parts_join_and_are_visible_when_the_last_has_come(inbox, tmp_path):
    assert send(inbox, Part(0, 3000, 5000)) == Came(3000, whole=False)
    assert (inbox.offset(SHA, ME), visible(tmp_path)) == (3000, None)

    assert send(inbox, Part(3000, 2000, 5000)) == Came(5000, whole=True)
    assert visible(tmp_path) == BODY


def test_a_part_may_be_repeated_and_may_overlap(inbox, tmp_path):
    for found in (Part(0, 3000, 5000), Part(0, 3000, 5000), Part(1000, 3000, 5000)):
        send(inbox, found)

    assert inbox.offset(SHA, ME) == 4000
    assert send(inbox).whole
    assert visible(tmp_path) == BODY


def test_a_part_that_comes_too_early_is_refused_with_where_to_go_on(inbox):
    send(inbox, Part(0, 1000, 5000))

    with pytest.raises(Gap) as caught:
        send(inbox, Part(2000, 3000, 5000))

    assert caught.value.headers == {"Upload-Offset": "1000"}


def test_what_is_not_what_its_name_says_is_dropped(inbox, tmp_path):
    with pytest.raises(Mismatch):
        send(inbox, body=BODY[:-1] + bytes([BODY[-1] ^ 1]))

    assert (inbox.offset(SHA, ME), visible(tmp_path)) == (0, None)
    assert send(inbox).whole


def test_a_body_that_ends_early_is_gone_on_with(inbox, tmp_path):
    with pytest.raises(Malformed) as caught:
        inbox.receive(SHA, ME, WHOLE, io.BytesIO(BODY[:1234]).read, most=10_000)

    assert caught.value.headers == {"Upload-Offset": "1234"}
    assert send(inbox, Part(1234, 3766, 5000)).whole


def test_a_connection_that_breaks_is_an_early_end(inbox):
    rest = [BODY[:700]]

    def breaks(size):
        if rest:
            return rest.pop()
        raise TimeoutError

    with pytest.raises(Malformed):
        inbox.receive(SHA, ME, WHOLE, breaks, most=10_000)

    assert inbox.offset(SHA, ME) == 700


def test_an_upload_that_was_killed_before_it_was_verified_is_ended_by_any_part(inbox, tmp_path):
    path = inbox._path(SHA, ME, "part")
    path.parent.mkdir()
    path.write_bytes(BODY)

    assert inbox.offset(SHA, ME) == 5000
    assert send(inbox, Part(4999, 1, 5000)).whole


def test_nobody_goes_on_with_another_s_upload(inbox, tmp_path):
    send(inbox, Part(0, 3000, 5000), body=bytes(5000), holder=YOU)

    assert inbox.offset(SHA, ME) == 0
    assert send(inbox).whole
    assert visible(tmp_path) == BODY


@pytest.mark.parametrize("most", [0, 4999])
def test_more_than_was_granted_is_refused_before_it_is_read(inbox, most):
    with pytest.raises(BlobTooLarge, match=f"{most} bytes"):
        inbox.receive(SHA, ME, WHOLE, None, most=most)


def test_a_grant_is_for_all_blobs_together(inbox):
    other = hashlib.sha256(BODY[:3000]).hexdigest()
    send(inbox, most=6000)

    with pytest.raises(BlobTooLarge, match="1000 bytes more"):
        send(inbox, Part(0, 3000, 3000), sha=other, most=6000)

    assert send(inbox, Part(0, 3000, 3000), sha=other, most=6000, holder=YOU).whole


def test_many_who_send_the_same_meet_unharmed(inbox, tmp_path):
    body = os.urandom(3_000_000)
    sha = hashlib.sha256(body).hexdigest()
    met, came = threading.Barrier(6), []

    def run(size):
        met.wait(60)
        for start in range(0, len(body), size):
            found = Part(start, min(size, len(body) - start), len(body))
            try:
                came.append(send(inbox, found, body, sha=sha, most=len(body)).whole)
            except Gap:
                return  # somebody was first

    threads = [threading.Thread(target=run, args=(size,)) for size in (3_000_000, 700_000) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert visible(tmp_path, sha) == body
    assert True in came


def test_who_was_slower_writes_no_more_into_what_is_visible(inbox, tmp_path):
    bytes_left = [b"!" * 10]

    def slow(size):
        if bytes_left:
            send(inbox)  # meanwhile another is done
            return bytes_left.pop()
        return b""

    with pytest.raises(Gap):
        inbox.receive(SHA, ME, WHOLE, slow, most=10_000)

    assert visible(tmp_path) == BODY


def test_a_full_disk_is_said_and_what_came_is_kept(inbox, monkeypatch):
    send(inbox, Part(0, 1000, 5000))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(DiskFull) as caught:
        send(inbox, Part(1000, 4000, 5000))

    assert caught.value.headers == {"Upload-Offset": "1000"}


def test_what_nobody_goes_on_with_is_swept(inbox, tmp_path):
    send(inbox, Part(0, 1000, 5000))
    stale = inbox._path(SHA, ME, "part")
    long_ago = time.time() - uploads.KEPT_S - 1
    os.utime(stale, (long_ago, long_ago))

    send(Uploads(tmp_path), Part(0, 1000, 5000), holder=YOU)

    assert (inbox.offset(SHA, ME), inbox.offset(SHA, YOU)) == (0, 1000)


def test_a_link_in_the_way_is_not_followed(inbox, tmp_path):
    path = inbox._path(SHA, ME, "part")
    path.parent.mkdir()
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    path.symlink_to(victim)

    with pytest.raises(OSError, match="symbolic links"):
        send(inbox)

    assert victim.read_bytes() == b"mine"

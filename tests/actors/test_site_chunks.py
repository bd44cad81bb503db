"""What comes of a file: hashed and written while more of it comes, at every size, on every disk."""

import errno
import fcntl
import os
from contextlib import closing, contextmanager
from io import BytesIO, FileIO

import pytest

from actors.site import sums
from actors.site.chunks import BUFFERS, Chunks
from actors.site.sums import CHUNK

NOISE = os.urandom(CHUNK)
ODD = NOISE[:1234]
MANY = BUFFERS + 3
"""More chunks than there are buffers, so that each buffer is used again."""

HELD = b"".join(bytes([number]) + NOISE[1:] for number in range(MANY))


@contextmanager
def chunks_of(path):
    how = os.O_RDWR | os.O_CREAT
    with FileIO(os.open(path, how, 0o600), "r+") as file, closing(Chunks(file)) as chunks:
        yield chunks


def give(chunks, content, most=CHUNK):
    """Give *content* as it would come, at most *most* bytes at a time."""
    left = memoryview(content)
    while left:
        room = chunks.room()[:most]
        piece = left[: len(room)]
        room[: len(piece)] = piece
        left = left[len(piece) :]
        chunks.came(len(piece), last=not left)


def taken(path, content, most=CHUNK):
    """Return what is said of *content* when it came to what lies at *path*."""
    with chunks_of(path) as chunks:
        chunks.take_up()
        give(chunks, content[chunks.offset :], most)
        chunks.settle()
        return chunks.sums.digest()


@pytest.mark.parametrize(
    "content",
    [HELD, HELD + ODD, ODD, HELD[: CHUNK + 1], NOISE + bytes(2 * CHUNK) + ODD, bytes(CHUNK + 7)],
    ids=["whole chunks", "and a rest", "less than one", "a byte more", "a hole", "zeros"],
)
def test_what_came_lies_in_the_file_and_is_summed_up(tmp_path, content):
    digest = taken(tmp_path / "file", content)

    assert (tmp_path / "file").read_bytes() == content
    assert digest == sums.read(BytesIO(content))


@pytest.mark.parametrize("most", [100_003, CHUNK - 1])
def test_how_much_comes_at_a_time_changes_nothing(tmp_path, most):
    digest = taken(tmp_path / "file", HELD + ODD, most)

    assert (tmp_path / "file").read_bytes() == HELD + ODD
    assert digest == sums.read(BytesIO(HELD + ODD))


@pytest.mark.parametrize("kept", [1, MANY - 1, MANY])
@pytest.mark.parametrize("torn", [b"", ODD], ids=["whole", "torn"])
def test_what_lies_there_is_summed_up_and_gone_on_with(tmp_path, kept, torn):
    (tmp_path / "file").write_bytes(HELD[: kept * CHUNK] + torn)

    digest = taken(tmp_path / "file", HELD + ODD)

    assert (tmp_path / "file").read_bytes() == HELD + ODD
    assert digest == sums.read(BytesIO(HELD + ODD))


@pytest.mark.parametrize("at", [0, CHUNK - 1, 2 * CHUNK + 77, MANY * CHUNK - 1])
def test_a_byte_that_was_flipped_in_what_lay_there_changes_the_sum(tmp_path, at):
    spoiled = bytearray(HELD)
    spoiled[at] ^= 1
    (tmp_path / "file").write_bytes(spoiled)

    digest = taken(tmp_path / "file", HELD + ODD)

    assert digest.sha256 != sums.read(BytesIO(HELD + ODD)).sha256


def test_what_is_begun_anew_forgets_what_came(tmp_path):
    (tmp_path / "file").write_bytes(HELD)

    with chunks_of(tmp_path / "file") as chunks:
        chunks.take_up()
        give(chunks, NOISE)
        chunks.begin_anew()
        assert (chunks.offset, (tmp_path / "file").stat().st_size) == (0, 0)
        give(chunks, ODD)
        chunks.settle()
        digest = chunks.sums.digest()

    assert digest == sums.read(BytesIO(ODD))
    assert (tmp_path / "file").read_bytes() == ODD


# --- disks ---


def test_a_disk_that_is_full_is_told():
    with chunks_of("/dev/full") as chunks, pytest.raises(OSError, match="No space left"):
        give(chunks, HELD)


def test_nothing_is_written_after_what_could_not_be(tmp_path, monkeypatch):
    """Else a hole would lie in the middle, as if that had come."""
    write, tried = os.pwrite, []

    def fails_once(file, content, at):
        tried.append(at)
        if at == CHUNK:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, content, at)

    monkeypatch.setattr(os, "pwrite", fails_once)
    with chunks_of(tmp_path / "file") as chunks, pytest.raises(OSError, match="No space left"):
        give(chunks, HELD)

    assert max(tried) == CHUNK
    assert (tmp_path / "file").read_bytes() == HELD[:CHUNK]


def passes_by_cache(file):
    return bool(fcntl.fcntl(file, fcntl.F_GETFL) & os.O_DIRECT)


@pytest.fixture
def choosy(monkeypatch):
    """A file system that takes no bytes past its cache, which it says only when it is asked to."""
    moves = {name: getattr(os, name) for name in ("pwrite", "preadv")}

    def choosing(name):
        def move(file, content, at):
            if passes_by_cache(file):
                raise OSError(errno.EINVAL, "Invalid argument")
            return moves[name](file, content, at)

        return move

    for name in moves:
        monkeypatch.setattr(os, name, choosing(name))


@pytest.mark.parametrize("kept", [0, 2])
def test_a_disk_that_must_be_cached_holds_it_too(tmp_path, choosy, kept):
    (tmp_path / "file").write_bytes(HELD[: kept * CHUNK])

    digest = taken(tmp_path / "file", HELD + ODD)

    assert (tmp_path / "file").read_bytes() == HELD + ODD
    assert digest == sums.read(BytesIO(HELD + ODD))


def test_a_disk_that_refuses_all_is_told(tmp_path, monkeypatch):
    def refuses(*_):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "pwrite", refuses)
    with chunks_of(tmp_path / "file") as chunks, pytest.raises(OSError, match="Invalid argument"):
        give(chunks, HELD)


def test_a_write_that_takes_a_part_is_gone_on_with(tmp_path, monkeypatch):
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, content, at: write(file, content[:70_000], at))

    digest = taken(tmp_path / "file", HELD[: 2 * CHUNK] + ODD)

    assert (tmp_path / "file").read_bytes() == HELD[: 2 * CHUNK] + ODD
    assert digest == sums.read(BytesIO(HELD[: 2 * CHUNK] + ODD))


# --- zeros ---


@pytest.mark.parametrize("size", [1, 63, CHUNK - 1, CHUNK])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_zeros_are_told_from_what_has_one_bit_at_either_end(size, kind):
    first, last = b"\1" + bytes(size - 1), bytes(size - 1) + b"\1"

    assert [sums.is_zero(kind(each)) for each in (bytes(size), first, last)] == [True, False, False]

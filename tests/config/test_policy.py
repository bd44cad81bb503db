"""A file that is followed: read anew when it changes, and the last good one kept."""

import os

import pytest

from config.policy import BadFile, Followed, read


def number(document):
    try:
        return int(document["n"])
    except (TypeError, KeyError, ValueError) as exc:
        raise BadFile("want a number n") from exc


class Scene:
    def __init__(self, path):
        self.path, self.now = path, 0.0
        self.write("n: 1")
        self.followed = Followed(path, number, clock=lambda: self.now)

    def write(self, text):
        self.path.write_text(text)

    def current(self, *, after=1.0):
        self.now += after
        return self.followed.current()


@pytest.fixture
def scene(tmp_path):
    return Scene(tmp_path / "policy.yaml")


def test_a_change_is_seen_within_a_second(scene):
    assert scene.current() == 1

    scene.write("n: 2")

    assert scene.current(after=0.5) == 1
    assert scene.current(after=0.5) == 2


@pytest.mark.parametrize("text", ["n: [", "n: x", "", "n: 1\nn: 2", "{}", "? [a]\n: b"])
def test_a_bad_file_changes_nothing_and_is_told_until_it_is_mended(scene, text):
    scene.current()

    scene.write(text)
    assert scene.current() == 1
    assert scene.followed.trouble

    scene.write("n: 3")
    assert scene.current() == 3
    assert scene.followed.trouble == ""


def test_a_file_that_goes_away_changes_nothing(scene):
    scene.current()
    scene.path.unlink()

    assert scene.current() == 1
    assert "No such file" in scene.followed.trouble


def test_a_file_that_is_put_in_its_place_is_seen(scene, tmp_path):
    scene.current()
    past = (1_000_000_000, 1_000_000_000)
    os.utime(scene.path, past)
    scene.current()
    other = tmp_path / "other"
    other.write_text("n: 7")
    os.utime(other, past)
    other.replace(scene.path)

    assert scene.current() == 7


def test_a_file_that_was_never_good_is_no_value(tmp_path):
    followed = Followed(tmp_path / "none.yaml", number)

    with pytest.raises(BadFile, match="No such file"):
        followed.current()


def test_scalars_are_texts(tmp_path):
    file = tmp_path / "plain.yaml"
    file.write_text("a: no\nb: 22:00\nc: 2026-01-01\nd: ~\n")

    assert read(file) == {"a": "no", "b": "22:00", "c": "2026-01-01", "d": "~"}


def test_tags_make_no_objects(tmp_path):
    file = tmp_path / "evil.yaml"
    file.write_text("a: !!python/object/apply:os.system [id]\n")

    assert read(file) == {"a": ["id"]}


def test_a_file_that_is_too_large_is_refused(tmp_path):
    file = tmp_path / "large.yaml"
    file.write_bytes(b"#" * (1 << 20) + b"\n")

    with pytest.raises(BadFile, match="bytes"):
        read(file)

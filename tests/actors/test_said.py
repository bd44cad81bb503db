import pytest

from actors.site import redaction, said
from actors.site.redaction import Redactor
from actors.site.said import INLINE, KEPT, PIECE, Said
from config import logs

KEY = """-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXk
AAAA
-----END OPENSSH PRIVATE KEY-----
"""
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N"


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def heard():
    return []


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def told(heard, clock):
    return Said(heard.append, clock)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("db_password=hunter2 next", "db_password=********** next"),
        ('{"token": "abc def", "n": 1}', '{"token": **********, "n": 1}'),
        ("Authorization: Bearer abcdefghij.k", "Authorization: Bearer **********"),
        ("amqp://user:pw@broker/x", "amqp://**********@broker/x"),
        ("id AKIAABCDEFGHIJKLMNOP!", "id **********!"),
        (f"got {JWT}.", "got **********."),
        ("root:$6$salt$abcdefghijkl:19000:0", "root:**********:19000:0"),
        ("up 3 days, 2 users, load 0.5", "up 3 days, 2 users, load 0.5"),
        ("pam_unix(sshd:session): session opened", "pam_unix(sshd:session): session opened"),
    ],
)
def test_what_looks_like_a_secret_is_not_shown_and_what_does_not_is(text, shown):
    redactor = Redactor()

    assert redactor.take(f"{text}\n") == f"{shown}\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"-{JWT}", "-**********"),
        (f"-eyJ-{JWT}", "-**********"),
        (f"eyJ.{JWT}", "eyJ.**********"),
        (f"eyJaaaaaaaa.{JWT}", "**********.dozjgNryP4J3jVmNHl0w5N"),
        (f"{'-eyJ' * 500}{JWT}", "-**********"),
        (JWT.replace(".", f"{'x' * 2000}."), "**********"),
        ("eyJaaaaaaaaaa-token=hunter2", "eyJaaaaaaaaaa-token=**********"),
        ("eyJaaaaaaaaaa-AKIAABCDEFGHIJKLMNOP", "eyJaaaaaaaaaa-**********"),
        (f"password='a b {JWT} c'", "password=**********"),
        ("eyJ eyJabc eyJaaaaaaaaaa.b.c", "eyJ eyJabc eyJaaaaaaaaaa.b.c"),
    ],
)
def test_a_token_is_found_whatever_like_it_stands_beside_it(text, shown):
    redactor = Redactor()

    assert redactor.take(f"{text}\n") == f"{shown}\n"


@pytest.mark.parametrize("times", [1, 100, 10_000])
@pytest.mark.parametrize("like", ["-eyJ", "-eyJaaaaaaaaaa", "eyJ-_"])
def test_what_only_begins_like_tokens_is_looked_at_once_however_much_of_it_there_is(like, times):
    found = list(redaction._JWT.finditer(f"{like * times} "))

    assert [match["none"] for match in found] == [(like * times).removeprefix("-")]


def test_each_part_of_what_is_nearly_a_token_is_looked_at_once():
    text = "eyJaaaaaaaa.eyJbbbbbbbb " * 1000

    assert len(list(redaction._JWT.finditer(text))) == 2000


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_a_secret_is_found_however_it_is_cut_into_pieces(size):
    text = f"a\n{KEY}password: hunter2\nb"
    redactor = Redactor()

    pieces = [redactor.take(text[at : at + size]) for at in range(0, len(text), size)]

    assert "".join([*pieces, redactor.rest()]) == "a\n**********\npassword: **********\nb"


def test_what_is_known_to_be_a_secret_is_never_told(told, heard, monkeypatch):
    monkeypatch.setattr(logs, "_known", set())
    logs.never_write(["correct-horse"])

    told.take("stdout", b"it is correct-")
    told.take("stdout", b"horse\n")
    told.end()

    assert "".join(each["text"] for each in heard) == "it is **********\n"
    assert told.streams["stdout"].text == "it is **********\n"


def test_lines_are_told_as_they_come_and_not_faster_than_once_a_second(told, heard, clock):
    for line in (b"one\n", b"two\n", b"three\n"):
        told.take("stdout", line)
    assert [each["text"] for each in heard] == ["one\n"]

    clock.now += said.PAUSE_S
    told.take("stderr", b"bad\n")

    assert heard[1:] == [
        {"stream": "stdout", "text": "two\nthree\n"},
        {"stream": "stderr", "text": "bad\n"},
    ]


def test_of_much_only_so_much_is_told_while_all_that_is_kept_is_in_the_evidence(told, heard):
    line = b"x" * 99 + b"\n"
    for _ in range(3000):
        told.take("stdout", line)
    told.end()

    assert sum(len(each["text"]) for each in heard[:-1]) == INLINE
    assert max(len(each["text"]) for each in heard) <= PIECE
    assert "in the evidence" in heard[-1]["text"]
    assert told.streams["stdout"].text == (line * 3000).decode()


def test_beyond_what_is_kept_it_is_counted_and_said(told):
    half = b"y" * (KEPT // 2) + b"\n"
    for _ in range(3):
        told.take("stdout", half)
    told.end()

    result = told.result()["stdout"]
    assert result["bytes"] == 3 * len(half)
    assert result["dropped"] == 3 * len(half) - KEPT
    assert told.streams["stdout"].text.endswith(
        f"[... {result['dropped']} more bytes, dropped ...]\n"
    )
    assert len(result["text"]) == said.SHORT


def test_what_is_no_text_is_shown_as_such_and_a_cut_character_is_whole_again(told):
    told.take("stdout", b"caf\xc3")
    told.take("stdout", b"\xa9 \xff\xfe\0\n")
    told.end()

    assert told.streams["stdout"].text == "café \ufffd\ufffd\ufffd\n"


def test_a_line_without_an_end_is_told_in_time(told):
    told.take("stdout", b"z " * 100_000)

    assert len(told.streams["stdout"].text) > 0

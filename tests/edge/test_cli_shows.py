"""How the command line writes: tables that line up, and nothing that steers a terminal."""

import json
import unicodedata

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from edge.cli import show, terminal
from edge.cli.client import Told
from edge.cli.show import Form

STEERING = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
EVIL = {
    "colour": ("\x1b[31mred", "\\x1b[31mred"),
    "title": ("\x1b]0;own\x07", "\\x1b]0;own\\x07"),
    "new line": ("a\nsprout: done", "a\\x0asprout: done"),
    "return": ("refused\rallowed", "refused\\x0dallowed"),
    "one byte": ("\x9b31m", "\\x9b31m"),
    "turned": ("\u202etxt.exe", "\\u202etxt.exe"),
    "unseen": ("ad\u200bmin", "ad\\u200bmin"),
    "another line": ("a\u2028b", "a\\u2028b"),
    "half": ("\ud83d", "\\ud83d"),
    "tag": ("a\U000e0041", "a\\ue0041"),
}


@pytest.fixture(autouse=True)
def table():
    show.choose(Form.TABLE)


@pytest.mark.parametrize(("text", "written"), EVIL.values(), ids=EVIL)
def test_what_steers_a_terminal_is_written_out(text, written):
    assert terminal.clean(text) == written


@given(st.text())
def test_nothing_that_steers_is_left(text):
    cleaned = terminal.clean(text)

    assert not {unicodedata.category(char) for char in cleaned} & STEERING
    assert terminal.clean(cleaned) == cleaned


@pytest.mark.parametrize(
    ("text", "cells"),
    [("node", 4), ("", 0), ("機械", 4), ("e\u0301", 1), ("naïve", 5), ("🌱", 2), ("\uff57", 2)],
)
def test_wide_characters_take_two_cells_and_marks_none(text, cells):
    assert terminal.width(text) == cells


@given(st.text().map(terminal.clean), st.integers(1, 40))
def test_what_is_shortened_fits(text, cells):
    short = terminal.shortened(text, cells)

    assert terminal.width(short) <= cells
    assert short == text or short.endswith("…")


def test_columns_line_up_whatever_they_hold(capsys):
    rows = [{"a": "機械", "b": "x"}, {"a": "node-01\x1b[2J", "b": None}, {"a": "e\u0301", "b": "y"}]

    show.rows(rows, {"what": "a", "then": "b"})

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "WHAT            THEN"
    starts = {terminal.width(line[: line.rindex(" ") + 1]) for line in lines}
    assert len(starts) == 1


def test_on_a_narrow_terminal_ids_stay_whole_and_words_give_way(capsys, monkeypatch):
    monkeypatch.setattr(terminal, "columns", lambda: 60)
    row = {"id": "018f6f3e-7d2a-7c11-9a55-0d6f5f3e2b10", "detail": "x" * 200, "state": "failed"}

    show.rows([row], {"state": "state", "id": "id", "detail": "detail"})

    _, line = capsys.readouterr().out.splitlines()
    assert row["id"] in line
    assert line.endswith("…")
    assert len(line) <= 60


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "-"),
        ("", "-"),
        ([], "-"),
        ({}, "-"),
        (True, "yes"),
        (0, "0"),
        (["a", "b"], "a, b"),
        ({"role": "worker", "n": 1}, "role=worker, n=1"),
        ("2025-06-01T12:00:00.123456Z", "2025-06-01 12:00:00Z"),
        ("2025-06-01T12:00:00+02:00", "2025-06-01T12:00:00+02:00"),
    ],
    ids=str,
)
def test_a_cell_is_read_by_people(value, written):
    assert show.cell(value) == written


def test_a_record_is_a_field_a_line_and_its_parts_below(capsys):
    show.record(
        {"hostname": "a", "labels": {"x": "y", "z": ""}, "interfaces": [{"n": 1}, {"n": 2}]}
    )

    assert capsys.readouterr().out.splitlines() == [
        "hostname    a",
        "labels      x: y",
        "            z: -",
        "interfaces  n=1",
        "            n=2",
    ]


NESTED = {"a": "機\x1b\u202e", "b": [1, None, True, {"c": "1"}], "d": "no", "e": "2025-06-01"}


@pytest.mark.parametrize("form", [Form.JSON, Form.YAML])
def test_programs_read_back_what_was_shown_and_a_terminal_is_not_steered(capsys, form):
    show.choose(form)

    show.record(NESTED)

    text = capsys.readouterr().out
    assert {"json": json.loads, "yaml": yaml.safe_load}[form](text) == NESTED
    assert text.isascii()
    assert "\x1b" not in text


@pytest.mark.parametrize("form", [Form.JSON, Form.YAML])
def test_an_empty_list_is_a_list_to_programs(capsys, form):
    show.choose(form)

    show.rows([], {"id": "id"})

    assert capsys.readouterr().out == "[]\n"


def test_what_comes_one_by_one_is_a_json_line_or_a_yaml_document(capsys):
    for form in (Form.JSON, Form.YAML):
        show.choose(form)
        show.each({"n": 1}, "one")
        show.each({"n": 2}, "two")

    lines, documents = capsys.readouterr().out.split("---\n", 1)
    assert [json.loads(line)["n"] for line in lines.splitlines()] == [1, 2]
    assert [each["n"] for each in yaml.safe_load_all(documents)] == [1, 2]


def test_an_error_steers_no_terminal(capsys):
    Told("no machine \x1b[2J", "try \u202eother").show()

    assert capsys.readouterr().err == "sprout: no machine \\x1b[2J\n  try \\u202eother\n"


def test_a_terminal_that_knows_no_such_letter_gets_another(tmp_path, monkeypatch):
    with (tmp_path / "out").open("w", encoding="ascii") as stream:
        monkeypatch.setattr("sys.stdout", stream)
        terminal.out("機 ok")

    assert (tmp_path / "out").read_text() == "\\u6a5f ok\n"

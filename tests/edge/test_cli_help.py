"""The command line before it asks anybody: its help, its options, and what it must not load."""

import json
import subprocess
import sys

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from edge.cli.client import EXIT_CODES
from edge.cli.main import APP, CATALOGUE
from tests.edge.conftest import ROOT

HEAVY = {
    *(
        "requests",
        "flask",
        "peewee",
        "dramatiq",
        "scapy",
        "psycopg2",
        "pydantic_settings",
        "jinja2",
    ),
    *("cryptography", "sqlite3", "authlib", "joserfc", "yaml", "keyring", "rich"),
}
HELP = """
import contextlib, io, json, sys
sys.argv[0] = "sprout"
from edge.cli.main import run
lines, found = json.loads(sys.argv.pop()), {}
for words in lines:
    sys.argv[1:] = [*words, "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        run()
    found[" ".join(words)] = out.getvalue()
loaded = sorted(name for name, module in sys.modules.items() if module)
print(json.dumps([found, loaded]))
"""
RAW = {"completion", "up", "edge", "control", "ssh", "rack up", "rack check"}


def commands(group, path=()):
    """Yield (words, command) of all that can be said, groups too."""
    for name in group.list_commands(None):
        found = group.get_command(None, name)
        yield (*path, name), found
        if isinstance(found, TyperGroup):
            yield from commands(found, (*path, name))


ALL = [((), get_command(APP)), *commands(get_command(APP))]
LEAVES = [(words, found) for words, found in ALL if not isinstance(found, TyperGroup)]


@pytest.fixture(scope="module")
def helped():
    """The help of each command as one process prints it, and the modules that this took."""
    words = json.dumps([words for words, _ in ALL])
    command = [sys.executable, "-c", HELP, words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_no_help_loads_what_it_does_not_need(helped):
    _, modules = helped

    assert HEAVY & {name.partition(".")[0] for name in modules} == set()


@pytest.mark.parametrize(
    "words", [words for words, _ in ALL], ids=lambda w: " ".join(("sprout", *w))
)
def test_every_command_says_what_it_is_for(helped, words):
    found, _ = helped

    usage, _, told, *_ = found[" ".join(words)].splitlines()
    assert usage.startswith(f"Usage: {' '.join(('sprout', *words))}")
    assert told.strip().endswith(".") or len(told) > 60


@pytest.mark.parametrize(("words", "command"), LEAVES, ids=[" ".join(w) for w, _ in LEAVES])
def test_every_command_that_shows_something_takes_the_form_of_its_output(words, command):
    options = {option for param in command.params for option in param.opts}

    assert ({"-o", "--output"} <= options) is (" ".join(words) not in RAW)


def test_the_help_names_every_command_and_every_exit_status(helped):
    text = helped[0][""]

    for part in CATALOGUE.values():
        for name, entry in part.items():
            assert f"\n  {name} " in text
            assert entry.words in text
    flat = " ".join(text.split())
    for number, words in EXIT_CODES.items():
        assert f"{number} {words}" in flat


def test_the_readme_documents_every_exit_status():
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    for number, words in EXIT_CODES.items():
        assert f"| {number} | {words} |" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [(("machnes", "list"), "Did you mean 'machines'"), (("machines", "lst"), "'list'")],
    ids=["group", "command"],
)
def test_a_typing_error_is_met_with_what_was_meant(words, said):
    code = "import sys; from edge.cli.main import run; run()"
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr

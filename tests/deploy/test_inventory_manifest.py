"""Which manifests the inventory system acts on: those of this boot, and of no other."""

import subprocess
from pathlib import Path

import pytest

from deploy.image import initramfs
from models import bootplan
from models.bootplan import Access
from pxe_stack import surveys
from tests.pxe_stack import make

SCRIPT = Path(initramfs.__file__).parent / "inventory/manifest.sh"
PLAN = make.plan()
URL = bootplan.url(PLAN, make.KEY, Access.SEED, "manifest")
OTHER = "11111111-2222-4333-8444-555555555555"
# What the system has around it: "fail" tells whoever the callback is.
AROUND = """
WORK=$1
callback=
try() { shift; "$@"; }
fetch() { cp "$WORK/served" "$2"; }
fail() { echo "$1;$callback"; exit 1; }
"""
ENDS = '\nread_manifest "$2"\necho "$tests;$callback"\n'


@pytest.fixture
def read(tmp_path):
    """Return what comes of the manifest *text* at *url*: the exit status, a word and a callback."""

    def reader(text: str, url: str = URL) -> tuple[int, str, str]:
        (tmp_path / "served").write_text(text)
        script = AROUND + SCRIPT.read_text() + ENDS
        words = ["dash", "-c", script, "manifest", str(tmp_path), url]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        said, _, callback = done.stdout.strip().rpartition(";")
        return done.returncode, said, callback

    return reader


def manifest(**changes: str) -> str:
    text = bootplan.fill(surveys.manifest("node-01"), bootplan.slot_values(PLAN, make.KEY))
    lines = dict(line.split(" ", 1) for line in text.splitlines()) | changes
    return "".join(f"{key} {value}\n" for key, value in lines.items() if value)


def callback_url() -> str:
    return bootplan.url(PLAN, make.KEY, Access.CALLBACK, "")


def test_the_manifest_that_a_site_serves_is_acted_on(read):
    assert read(manifest(tests="no")) == (0, "no", callback_url())


@pytest.mark.parametrize(
    "changes",
    [
        {"run": OTHER},
        {"run": ""},
        {"run": "*"},
        {"run": OTHER, "callback": callback_url().replace(str(PLAN.run), OTHER)},
        {"callback": callback_url().replace(str(PLAN.run), OTHER)},
        {"callback": "http://10.77.0.9/elsewhere"},
        {"callback": ""},
    ],
)
def test_a_manifest_of_another_run_is_not_acted_on_and_nobody_is_told_by_its_callback(
    read, changes
):
    status, said, callback = read(manifest(**changes))

    assert (status, callback) == (1, "")
    assert said.startswith("the manifest ")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"task": "wipe"}, "the manifest asks for 'wipe', and this system takes inventory"),
        ({"task": ""}, "the manifest asks for '', and this system takes inventory"),
        ({"version": "2"}, "the manifest has version '2', this system reads 1"),
    ],
)
def test_a_manifest_of_this_run_for_something_else_is_refused_and_the_site_hears_why(
    read, changes, why
):
    assert read(manifest(**changes)) == (1, why, callback_url())


def test_what_is_no_manifest_is_refused(read):
    assert read("<html>a proxy's own page</html>\n")[0] == 1
    assert read("")[0] == 1


def test_an_address_that_names_no_run_has_no_manifest_of_this_boot(read):
    assert read(manifest(), url="http://10.77.0.1/manifest")[0] == 1

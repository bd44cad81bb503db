"""`sprout login`: by a browser at a real, certified provider."""

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import copied
from tests.edge.conftest import ROOT, serving, variables
from tests.edge.test_cli import RUN, SITE
from tests.services import oidc_provider

pytestmark = pytest.mark.services

PEOPLE = {"ada": ["sprout:admin"], "eve": ["sprout-site:ams-1:viewer"], "nobody": []}


@pytest.fixture(scope="module")
def provider(tmp_path_factory):
    folder = tmp_path_factory.mktemp("issuer")
    callback = "http://127.0.0.1:1/authorize"
    with oidc_provider.running(folder, people=PEOPLE, callback=callback) as started:
        yield started


@pytest.fixture(scope="module")
def served(provider, postgres, migrated, tmp_path_factory):
    folder = tmp_path_factory.mktemp("edge")
    more = {
        "SPROUT_OIDC_ISSUER": provider.issuer,
        "SPROUT_OIDC_CLIENT_SECRET": oidc_provider.SECRET,
        "SPROUT_OIDC_SCOPES": "openid profile email api",
    }
    with (
        copied(postgres, migrated) as url,
        serving(variables(url, folder) | more, folder) as started,
    ):
        yield started


@pytest.fixture
def browser(chromium):
    context = chromium.new_context()
    yield context.new_page()
    context.close()


def enters(page, url, name, last):
    """Enter the code and *name* at the provider, as a person does."""
    page.goto(url)
    page.get_by_role("button", name="Continue").click()
    page.locator('input[name="login"]').fill(name)
    page.locator('input[name="password"]').fill("any")
    page.get_by_role("button", name="Sign-in").click()
    page.locator(last).click()


class Terminal:
    """A person's terminal: his home, and the edge that he works with."""

    def __init__(self, url, home, **more):
        self.home = home
        self.data = home / "data"
        self._env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "HOME": str(home),
            "SPROUT_DATA_DIR": str(self.data),
            "SPROUT_API_URL": url,
            "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
            **more,
        }

    def begin(self, *words):
        """Start a command; its lines of standard error come one by one."""
        return subprocess.Popen(
            [sys.executable, "-c", RUN, *words],
            env=self._env,
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def says(self, *words):
        with self.begin(*words) as begun:
            out, err = begun.communicate(timeout=100)
        return subprocess.CompletedProcess(words, begun.returncode, out, err)

    def logs_in(self, page, name, *words, last="button:has-text('Continue')"):
        """Log in as *name*, ending with a click on *last*; return how it ended."""
        with self.begin("login", *words) as begun:
            try:
                told = ""
                while (found := re.search(r"or open (\S+)", told)) is None:
                    line = begun.stderr.readline()
                    assert line, told
                    told += line
                enters(page, found[1], name, last)
                out, err = begun.communicate(timeout=100)
            finally:
                begun.kill()
        return subprocess.CompletedProcess(words, begun.returncode, out, told + err)

    @property
    def kept(self):
        return json.loads((self.data / "logins.json").read_text())


@pytest.fixture
def terminal(served, tmp_path):
    return Terminal(served.url, tmp_path)


def test_a_person_logs_in_works_stays_logged_in_and_logs_out(terminal, browser, served):
    done = terminal.logs_in(browser, "ada", "--stay", "-o", "json")

    assert done.returncode == 0, done.stderr
    came = json.loads(done.stdout)
    assert (came["name"], came["subject"], came["way"]) == ("ada", "oidc:ada", "issuer")
    assert came["grants"] == [{"role": "admin", "site": None}]
    assert terminal.says(*SITE).returncode == 0
    kept = terminal.kept
    assert (terminal.data / "logins.json").stat().st_mode & 0o777 == 0o600
    assert kept[served.url]["secret"]["access"] not in done.stdout + done.stderr

    renewed_once(terminal, kept, served.url)
    out = terminal.says("logout")
    assert (out.returncode, terminal.kept) == (0, {})
    after = terminal.says("sites", "list")
    assert after.returncode == 4
    assert "sprout login" in after.stderr


def renewed_once(terminal, kept, url):
    """A token that is over is renewed unseen, by one of those who need it at the same time."""
    kept[url]["until"] = 1.0
    (terminal.data / "logins.json").write_text(json.dumps(kept))

    with ThreadPoolExecutor() as at_once:
        ended = list(at_once.map(lambda _: terminal.says("whoami"), range(2)))

    assert [each.returncode for each in ended] == [0, 0], ended
    assert "admin of all sites" in ended[0].stdout
    after = terminal.kept[url]
    assert after["secret"]["access"] != kept[url]["secret"]["access"]
    assert after["until"] > 1.0


def test_the_keyring_keeps_the_token_of_somebody_without_a_role(served, browser, tmp_path):
    ring = tmp_path / "ring.json"
    more = {"PYTHON_KEYRING_BACKEND": "tests.edge.ring.Ring", "RING_FILE": str(ring)}
    terminal = Terminal(served.url, tmp_path, **more)

    done = terminal.logs_in(browser, "nobody")

    assert done.returncode == 4, done.stderr
    assert "logged in; the token is kept in the keyring (a ring of tests)" in done.stderr
    assert "yours is none" in done.stderr
    assert "secret" not in terminal.kept[served.url]
    token = json.loads(json.loads(ring.read_text())[f"sprout {served.url}"])["access"]
    assert token not in (terminal.data / "logins.json").read_text()
    assert terminal.says("logout").returncode == 0
    assert json.loads(ring.read_text()) == {}


def test_who_says_no_there_is_not_logged_in(terminal, browser):
    done = terminal.logs_in(browser, "ada", last='a[href$="/abort"]')

    assert done.returncode == 4
    assert "denied there" in done.stderr
    assert not (terminal.data / "logins.json").exists()

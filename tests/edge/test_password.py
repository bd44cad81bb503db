"""The local admin: a password that is kept hashed, tried slowly, and forged by nobody's page."""

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from edge import passwords
from edge.app import create_app
from edge.sign_in import here
from models.commands import sessions
from models.database import borrowed, database
from models.tables import Audit
from tests.edge.conftest import Api, config

PASSWORD = "correct horse battery staple"
HASH = passwords.hashed(PASSWORD)


def test_a_password_is_known_by_its_hash_and_no_other_is():
    assert passwords.right(PASSWORD, HASH)
    assert PASSWORD not in HASH
    assert passwords.hashed(PASSWORD) != HASH


WRONG = {
    "empty": "",
    "short": "x",
    "longer": PASSWORD + " ",
    "shorter": PASSWORD[:-1],
    "its hash": HASH,
    "huge": "x" * 2000,
    "no character": "\ud800",
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_wrong_password_is_wrong(wrong):
    assert not passwords.right(wrong, HASH)


UNFIT = {
    "none": "",
    "cut": "scrypt$15$8$1$x$y",
    "plain": PASSWORD,
    "too dear": HASH.replace("$15$", "$30$"),
}


@pytest.mark.parametrize("kept", UNFIT.values(), ids=UNFIT)
def test_what_is_no_hash_lets_nobody_in(kept):
    assert not passwords.right(PASSWORD, kept)


def test_the_command_line_makes_the_hash_of_what_it_reads():
    code = "import sys; sys.argv[1:] = ['hash-password']; from edge.cli.main import run; run()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=PASSWORD + "\n",
        text=True,
        capture_output=True,
        check=True,
    )

    assert passwords.right(PASSWORD, done.stdout.strip())


@pytest.mark.parametrize(
    "text",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/a\r\nSet-Cookie: x=1",
        "/%0d%0a\tx",
        "javascript:alert(1)",
        "evil.example",
        "",
        "/" + "a" * 600,
        "/\u2028x",
    ],
)
def test_after_signing_in_nobody_is_led_elsewhere(text):
    assert here(text) == "/"


@pytest.mark.parametrize("text", ["/", "/machines/1?x=2&y=a%20b", "/discoveries"])
def test_after_signing_in_a_person_is_where_he_wanted_to_be(text):
    assert here(text) == text


# --- with a database ---


@pytest.fixture
def app(database_url):
    return create_app(config(admin_password_hash=HASH, admin_token_hash=""))


def form(client, path="/sign-in"):
    """Return the CSRF token of the form that is shown."""
    page = client.get(path)
    assert page.status_code == 200
    return re.search(r'name="csrf_token" value="([^"]+)"', page.text)[1]


def tried(client, password, **more):
    data = {"password": password, "csrf_token": form(client)} | more
    return client.post("/sign-in", data=data)


def audited():
    with borrowed():
        return [(row.actor, row.action, row.outcome) for row in Audit.select()]


@pytest.mark.services
def test_the_right_password_begins_a_session(client):
    answer = tried(client, PASSWORD, next="/machines/x")

    assert (answer.status_code, answer.headers["Location"]) == (303, "/machines/x")
    assert client.get("/v1/sites").status_code == 200
    assert audited() == [("admin", "session.create", "done")]


@pytest.mark.services
def test_a_wrong_password_is_refused_and_written_down(client):
    answer = tried(client, "wrong wrong wrong")

    assert answer.status_code == 401
    assert "not the password" in answer.text
    assert client.get("/v1/sites").status_code == 401
    assert audited() == [("anonymous", "session.create", "refused")]


@pytest.mark.services
@pytest.mark.parametrize("more", [{"csrf_token": ""}, {"csrf_token": "x"}])
def test_nobodys_page_signs_a_browser_in(client, more):
    assert tried(client, PASSWORD, **more).status_code == 403
    assert client.get("/v1/sites").status_code == 401


@pytest.mark.services
def test_a_page_without_a_session_has_no_token_that_fits(client):
    assert client.post("/sign-in", data={"password": PASSWORD}).status_code == 403
    answer = client.post("/sign-in", data={"password": PASSWORD, "csrf_token": ""})
    assert answer.status_code == 403


@pytest.mark.services
def test_passwords_are_not_tried_fast(client):
    for _ in range(sessions.FROM_ONE):
        assert tried(client, "wrong wrong wrong").status_code == 401

    answer = tried(client, PASSWORD)

    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0
    elsewhere = client.post(
        "/sign-in",
        data={"password": PASSWORD, "csrf_token": form(client)},
        environ_overrides={"REMOTE_ADDR": "192.0.2.7"},
    )
    assert elsewhere.status_code == 303


@pytest.mark.services
def test_of_many_at_once_no_more_are_looked_at(app):
    def one(_):
        return tried(app.test_client(), "wrong wrong wrong").status_code

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(one, range(12)))

    assert answers.count(401) <= sessions.FROM_ONE
    assert set(answers) == {401, 429}


@pytest.mark.services
def test_a_right_password_does_not_count_as_an_attempt(client):
    for _ in range(sessions.FROM_ONE + 2):
        assert tried(client, PASSWORD).status_code == 303


@pytest.mark.services
def test_the_name_of_a_session_changes_when_its_person_comes_in(client):
    form(client)
    before = client.get_cookie("sprout_session").value
    tried(client, PASSWORD)
    after = client.get_cookie("sprout_session").value

    assert before != after
    client.set_cookie("sprout_session", before)
    assert client.get("/v1/sites").status_code == 401


@pytest.mark.services
def test_nobody_chooses_the_name_of_his_session(client):
    client.set_cookie("sprout_session", "chosen-by-somebody-else")

    tried(client, PASSWORD)

    assert client.get_cookie("sprout_session").value != "chosen-by-somebody-else"
    client.set_cookie("sprout_session", "chosen-by-somebody-else")
    assert client.get("/v1/sites").status_code == 401


@pytest.mark.services
def test_the_name_of_a_session_is_kept_nowhere(client):
    tried(client, PASSWORD)
    name = client.get_cookie("sprout_session").value

    with borrowed():
        rows = database.execute_sql("SELECT s::text FROM sessions s").fetchall()
    assert len(rows) == 1
    assert name not in str(rows)


@pytest.mark.services
def test_a_session_that_was_ended_is_ended_for_whoever_copied_its_cookie(client):
    tried(client, PASSWORD)
    name = client.get_cookie("sprout_session").value
    with client.session_transaction() as session:
        token = session["csrf"]
    client.post("/sign-out", data={"csrf_token": token})

    client.set_cookie("sprout_session", name)
    assert client.get("/v1/sites").status_code == 401


@pytest.mark.services
def test_another_password_ends_all_sessions(client):
    tried(client, PASSWORD)
    name = client.get_cookie("sprout_session").value

    other = create_app(config(admin_password_hash=passwords.hashed("another one entirely")))
    other_client = other.test_client()
    other_client.set_cookie("sprout_session", name)

    assert other_client.get("/v1/sites").status_code == 401


@pytest.mark.services
def test_a_person_without_a_session_is_shown_the_door(client):
    answer = client.get("/machines/x?y=1", headers={"Accept": "text/html"})

    assert answer.status_code in {303, 404}
    answer = client.get("/?state=active", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["Location"]) == (
        303,
        "/sign-in?next=/?state%3Dactive",
    )
    assert client.get("/").status_code == 401


@pytest.mark.services
def test_a_request_with_a_token_reads_no_session(database_url):
    app = create_app(config())
    answer = Api(app).get("/v1/sites", headers={"Cookie": "sprout_session=x"})

    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers

"""What goes wrong is told within the site's frame, to whoever is signed in."""

import pytest

from edge.pages import flows, frame
from tests.edge.signed_in import HTML, Browser, text
from tests.models import make as domain

pytestmark = pytest.mark.services

NOWHERE = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def scene(db):
    return domain.Scene()


def framed(answer):
    return 'aria-label="Pages"' in answer.text and 'role="search"' in answer.text


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/nowhere", 404, "there is nothing at this URL"),
        (f"/machines/{NOWHERE}", 404, "no machine"),
        (f"/workflows/{NOWHERE}", 404, "no workflow"),
        ("/images/none", 404, "no image"),
        ("/?state=odd", 422, "/state"),
        ("/sites/" + "x" * 300, 404, "no site"),
        ("/%00", 404, "there is nothing at this URL"),
    ],
)
def test_what_is_not_there_or_cannot_be_read_is_told_in_the_frame(app, scene, path, status, told):
    answer = Browser(app).get(path)

    assert (answer.status_code, framed(answer)) == (status, True)
    assert told in text(answer)
    assert answer.headers["X-Request-Id"] in answer.text


def test_who_may_not_is_told_in_the_frame_what_it_takes(app, scene):
    answer = Browser(app, grants=[("viewer", None)], name="vi").get("/new-site")

    assert (answer.status_code, framed(answer)) == (403, True)
    assert "takes the role admin" in text(answer)


def test_a_failure_of_ours_is_told_in_the_frame_and_says_nothing_of_what_failed(
    app, scene, monkeypatch
):
    def failing(*_, **__):
        raise RuntimeError("s3cret")

    app.config["PROPAGATE_EXCEPTIONS"] = False
    monkeypatch.setattr(flows.workflows, "found", failing)

    answer = Browser(app).get("/workflows")

    assert (answer.status_code, framed(answer)) == (500, True)
    assert "s3cret" not in answer.text


def test_a_frame_that_fails_itself_hides_nothing(app, scene, monkeypatch):
    monkeypatch.setattr(frame.lists, "sites", lambda **_: 1 / 0)
    app.config["PROPAGATE_EXCEPTIONS"] = False

    answer = Browser(app).get("/nowhere")

    assert (answer.status_code, framed(answer)) == (404, False)
    assert "there is nothing at this URL" in text(answer)


def test_a_stranger_sees_no_frame_and_a_program_no_page(app, scene):
    stranger = app.test_client().post("/new-site", headers=HTML)
    program = Browser(app)._client.get("/nowhere", headers={"Accept": "application/json"})

    assert (stranger.status_code, framed(stranger)) == (401, False)
    assert program.json["type"] == "/problems/not-found"

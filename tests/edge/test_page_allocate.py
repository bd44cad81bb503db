"""Machines are handed out by a form: all that were asked for, or none."""

import pytest

from models.lifecycle import State
from models.tables import Machine
from tests.edge.signed_in import Browser, text
from tests.models import make as domain

pytestmark = pytest.mark.services

PATH = "/sites/ams-1/allocate"


@pytest.fixture
def scene(db):
    made = domain.Scene()
    free = {"state": "available", "labels": {"role": "worker"}}
    Machine.update(**free).where(Machine.id == made.machine).execute()
    return made


@pytest.fixture
def person(app):
    return Browser(app)


def test_a_free_machine_is_handed_out_and_shown(person, scene):
    assert "1 machines of ams-1 are free now." in text(person.get(PATH))

    answer = person.post(PATH, __count="1", __labels="role=worker\r\n", __architecture="x86_64")

    assert answer.status_code == 303
    assert "node-01" in text(person.get(answer.headers["Location"]))
    assert scene.view.state is State.ALLOCATED


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"__count": "2"}, 409),
        ({"__count": "1", "__labels": "role=master"}, 409),
        ({"__count": "0"}, 422),
        ({"__count": "1e9"}, 422),
        ({"__count": "9" * 5000}, 422),
        ({"__count": "1", "__architecture": "z80"}, 422),
        ({"__count": "1", "__minMemoryMib": "9" * 30}, 422),
        ({"__count": "1", "__labels": "=" * 5000}, 422),
    ],
)
def test_what_cannot_be_had_is_refused_whole_and_said(person, scene, form, status):
    answer = person.post(PATH, **form)

    assert answer.status_code == status
    assert 'role="alert"' in answer.text
    assert scene.view.state is State.AVAILABLE


def test_who_may_not_hand_out_is_shown_no_way_to(app, scene):
    viewer = Browser(app, grants=[("viewer", None)], name="vi")

    assert "allocate" not in viewer.get("/sites/ams-1").text
    assert viewer.get(PATH).status_code == 403

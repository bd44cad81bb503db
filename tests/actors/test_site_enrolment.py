import json
from uuid import UUID

import pytest

from actors.site import enrolment
from actors.site.enrolment import NotEnrolled

BODY = {
    "site": "5a1e0000-0000-4000-8000-000000000001",
    "slug": "lab",
    "signing_key": "ab" * 32,
    "broker": "amqp://u:p@h/",
    "edge": "http://127.0.0.1:8080",
}


def written(tmp_path, text, mode=0o600):
    path = tmp_path / "enrolment.json"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_an_enrolment_is_read_whole(tmp_path):
    found = enrolment.read(written(tmp_path, json.dumps(BODY)))

    assert (found.site, found.slug) == (UUID(BODY["site"]), "lab")
    assert found.signing_key == bytes.fromhex("ab" * 32)


def test_without_a_file_it_is_said_which_command_to_run():
    with pytest.raises(NotEnrolled, match="sprout sites enrol SITE > FILE"):
        enrolment.read(None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        json.dumps(BODY | {"signing_key": "xyz"}),
        json.dumps(BODY | {"signing_key": ""}),
        json.dumps(BODY | {"site": "lab"}),
        json.dumps(BODY | {"site": 7}),
    ],
)
def test_a_broken_file_says_which_command_to_run_and_repeats_no_secret(tmp_path, text):
    with pytest.raises(NotEnrolled, match="sprout sites enrol") as caught:
        enrolment.read(written(tmp_path, text))

    assert BODY["signing_key"] not in str(caught.value)


def test_a_file_that_is_not_there_says_which_command_to_run(tmp_path):
    with pytest.raises(NotEnrolled, match="sprout sites enrol"):
        enrolment.read(tmp_path / "absent.json")


def test_a_file_that_others_can_read_is_refused(tmp_path):
    with pytest.raises(NotEnrolled, match="chmod 600"):
        enrolment.read(written(tmp_path, json.dumps(BODY), mode=0o644))


def test_the_keys_do_not_show_in_a_repr(tmp_path):
    shown = repr(enrolment.read(written(tmp_path, json.dumps(BODY))))

    assert "u:p@h" not in shown
    assert "xab" not in shown

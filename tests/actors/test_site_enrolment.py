import json
import threading
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


def test_certificates_of_the_authority_are_kept_and_what_is_not_known_is_left_out(tmp_path):
    body = BODY | {"ca": "-----BEGIN CERTIFICATE-----", "later": {"x": 1}}

    assert enrolment.read(written(tmp_path, json.dumps(body))).ca == body["ca"]


@pytest.mark.parametrize("wanted", ["", BODY["site"], BODY["site"].upper(), "lab"])
def test_a_site_may_be_named_by_id_or_slug(tmp_path, wanted):
    found = enrolment.read(written(tmp_path, json.dumps(BODY)))

    assert enrolment.of_site(found, wanted) is found


@pytest.mark.parametrize("wanted", ["ams", "5a1e0000-0000-4000-8000-000000000002"])
def test_anothers_enrolment_is_no_enrolment(tmp_path, wanted):
    found = enrolment.read(written(tmp_path, json.dumps(BODY)))

    with pytest.raises(NotEnrolled, match="sprout sites enrol"):
        enrolment.of_site(found, wanted)


def test_waiting_says_why_once_and_again_when_the_reason_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(enrolment, "LOOK_S", 0.001)
    reasons = iter(["no file", "no file", "no file", "open to others"])
    said = []

    def look():
        for why in reasons:
            raise NotEnrolled(why)
        return "found"

    assert enrolment.awaited(look, said.append, threading.Event()) == "found"
    assert [each.splitlines()[0] for each in said] == ["no file", "open to others"]


def test_waiting_ends_when_it_is_told_to():
    stop = threading.Event()
    stop.set()

    assert enrolment.awaited(lambda: enrolment.read(None), [].append, stop) is None

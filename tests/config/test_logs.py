import io
import json
import logging
from uuid import UUID

import pytest
import structlog

from config import logs


@pytest.fixture
def lines():
    """What is logged from here on, as a function that returns the decoded lines."""
    stream = io.StringIO()
    root, before = logging.getLogger(), logging.getLogger().handlers[:]
    level = root.level
    structlog.contextvars.clear_contextvars()  # an earlier test's request may have left its own
    logs.configure("INFO", "json", "control", stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:] = before
    root.setLevel(level)
    structlog.reset_defaults()


def test_line_carries_its_event_process_level_and_time(lines):
    structlog.get_logger().info("dhcp.answered", mac="52:54:00:00:00:01")

    (line,) = lines()
    assert line.pop("at").endswith("Z")
    assert line == {
        "event": "dhcp.answered",
        "level": "info",
        "mac": "52:54:00:00:00:01",
        "process": "control",
    }


def test_ids_are_bound_once_per_message(lines):
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        structlog.get_logger().info("outbox.sent")

    assert lines()[0]["request_id"] == "r-1"


def test_lines_below_the_level_are_not_written(lines):
    structlog.get_logger().debug("dhcp.ignored")

    assert lines() == []


def test_vendor_lines_are_written_from_warning_on(lines):
    logging.getLogger("a_vendor").info("chatter")
    logging.getLogger("a_vendor").warning("slow answer")

    assert [line["event"] for line in lines()] == ["slow answer"]


@pytest.mark.parametrize(
    "field",
    ["password", "BMC_PASSWORD", "token", "secret", "Authorization", "set_cookie", "private_key"],
)
def test_telling_fields_are_redacted(lines, field):
    structlog.get_logger().info("bmc.called", **{field: "hunter22"})

    assert lines()[0][field] == logs.REDACTED


def test_telling_fields_are_redacted_at_any_depth(lines):
    structlog.get_logger().info("bmc.called", sent={"headers": [{"X-Auth-Token": "hunter22"}]})

    assert lines()[0]["sent"] == {"headers": [{"X-Auth-Token": logs.REDACTED}]}


def test_known_secrets_are_redacted_in_any_text(lines):
    logs.never_write(["correct-horse"])

    structlog.get_logger().info("bmc.refused", why=ValueError("login correct-horse failed"))

    assert lines()[0]["why"] == f"login {logs.REDACTED} failed"


def test_known_secrets_are_redacted_in_traces(lines):
    logs.never_write(["battery-staple"])
    try:
        raise ValueError("battery-staple")
    except ValueError:
        structlog.get_logger().exception("bmc.failed")

    assert "battery-staple" not in json.dumps(lines())
    assert "ValueError" in lines()[0]["exception"]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("amqp://sprout:pw@bus/v", "amqp://**********@bus/v"),
        ("/boot/run-1/t0ken/script", "/boot/run-1/**********/script"),
        ("http://10.0.0.1:8081/boot/run-1/t0ken/seed/meta-data?x=1",
         "http://10.0.0.1:8081/boot/run-1/**********/seed/meta-data?x=1"),
        ("at /v1/blobs/ab?g=get.1.2.mac (Caused", "at /v1/blobs/ab?g=********** (Caused"),
        ("/artifacts/boot/vmlinuz", "/artifacts/boot/vmlinuz"),
    ],
)  # fmt: skip
def test_secret_parts_of_urls_are_redacted(lines, text, written):
    structlog.get_logger().info("http.served", path=text)

    assert lines()[0]["path"] == written


def test_other_values_keep_their_kind_or_become_text(lines):
    run = UUID(int=7)

    structlog.get_logger().info("run.moved", run=run, took_s=1.5, done=True, by=None)

    (line,) = lines()
    assert (line["run"], line["took_s"], line["done"], line["by"]) == (str(run), 1.5, True, None)


def test_people_get_a_line_to_read():
    stream = io.StringIO()
    handlers = logging.getLogger().handlers[:]
    logs.configure("INFO", "console", "edge", stream)

    structlog.get_logger().info("edge.started", port=8080)

    logging.getLogger().handlers[:] = handlers
    structlog.reset_defaults()
    assert "edge.started" in stream.getvalue()
    assert "port=8080" in stream.getvalue()


def test_a_value_that_has_no_end_keeps_its_beginning_and_its_end(lines):
    structlog.get_logger().info("queue.dead-letter", detail="begin" + "x" * 300_000 + "end")

    (line,) = lines()
    assert len(line["detail"]) < 2 * logs.LONGEST
    assert (line["detail"][:5], line["detail"][-3:]) == ("begin", "end")

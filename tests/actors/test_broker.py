"""What every broker promises (actors/broker_contract.py), kept by RabbitMQ and by PostgreSQL."""

import threading
import time
from queue import Queue

import dramatiq
import pytest

from actors import broker
from actors.broker_contract import MOST_DELIVERIES, Oversize, Unconfirmed, Unroutable
from models.messages import LIMIT
from tests.actors.lane import PATIENCE_S, until
from tests.services.process import free_ports

pytestmark = pytest.mark.services


def test_a_published_message_reaches_its_actor(lane):
    lane.send(lane.message("hello"))

    with lane.hear() as heard:
        assert heard.get(timeout=PATIENCE_S) == "hello"


def test_a_waiting_worker_is_woken_by_a_message(lane):
    with lane.hear() as heard:
        lane.send(lane.message("first"))
        heard.get(timeout=PATIENCE_S)

        lane.send(lane.message("second"))

        assert heard.get(timeout=PATIENCE_S) == "second"


def test_every_message_arrives_whatever_the_order(lane):
    words = {f"word-{n}" for n in range(300)}
    lane.send(*map(lane.message, sorted(words)))

    with lane.hear(threads=4) as heard:
        assert {heard.get(timeout=PATIENCE_S) for _ in words} == words


def test_an_acknowledged_message_is_gone(lane):
    lane.send(lane.message("once"))
    with lane.hear() as heard:
        heard.get(timeout=PATIENCE_S)
    lane.send(lane.message("next"))

    with lane.hear() as heard:
        assert heard.get(timeout=PATIENCE_S) == "next"


def test_an_actor_that_raises_makes_a_dead_letter_with_the_reason(lane):
    body = lane.message(message_id="m-1")
    lane.send(body)

    with lane.working(_refuse):
        letter = lane.last_dead()

    assert (letter.id, letter.reason, letter.body) == ("m-1", "rejected", body)
    assert letter.detail == "RuntimeError: the BMC is on fire"
    assert letter.died_at is not None


def test_an_actor_that_runs_out_of_time_makes_a_dead_letter(lane):
    def linger() -> None:
        while True:
            time.monotonic()

    lane.send(lane.message())

    with lane.working(linger, time_limit=100):
        assert lane.last_dead().reason == "time-limit"


def test_a_rejected_message_is_not_tried_again(lane):
    calls = Queue()

    def refuse(word):
        calls.put(word)
        raise RuntimeError(word)

    lane.send(lane.message("bad"), lane.message("worse"))

    with lane.working(refuse):
        until(lambda: len(lane.dead()) == 2)

    assert {calls.get(), calls.get()} == {"bad", "worse"}
    assert calls.empty()


def test_a_replayed_dead_letter_reaches_its_actor_and_is_dead_no_more(lane):
    lane.send(lane.message("again", message_id="m-2"))
    with lane.working(_refuse):
        lane.last_dead()

    replayed = broker.dead_letters_of(lane.url).replay({"m-2"})

    with lane.hear() as heard:
        assert heard.get(timeout=PATIENCE_S) == "again"
    assert (replayed, lane.dead()) == (1, [])


def test_a_message_is_redelivered_when_its_worker_is_killed(lane):
    lane.send(lane.message("survivor"))
    with lane.doomed_worker() as process:
        assert process.stdout.readline() == "survivor\n"

    with lane.hear() as heard:
        assert heard.get(timeout=PATIENCE_S) == "survivor"


def test_a_message_that_ends_every_worker_is_poison(lane):
    lane.send(lane.message())
    deliveries = 0

    while not lane.dead():
        with lane.consuming() as consumer:
            deliveries += _next(consumer, lane) is not None

    assert deliveries == MOST_DELIVERIES
    assert lane.last_dead().reason == "delivery-limit"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"actor": "nobody"}, "unknown-actor"),
        ({"queue_name": "elsewhere"}, "malformed"),
        ({"options": {"eta": 9e15}}, "malformed"),
        ({"options": {"expires_at": "soon"}}, "malformed"),
        ({"kwargs": {"unexpected": 1}}, "rejected"),
        ({"message_id": "\ud800"}, "malformed"),
    ],
    ids=str,
)
def test_a_wrong_message_is_a_dead_letter_and_the_worker_lives(lane, changes, reason):
    lane.send(lane.message("bad", **changes), lane.message("good"))

    with lane.hear(threads=1) as heard:
        assert heard.get(timeout=PATIENCE_S) == "good"
        assert lane.last_dead().reason == reason


@pytest.mark.parametrize("body", [b"", b"not JSON", b"\xff\x00", b"[" * 100_000, b"[]", b"{}"])
def test_what_is_no_message_is_a_dead_letter_and_the_worker_lives(lane, body):
    lane.send(body, lane.message("good"))

    with lane.hear(threads=1) as heard:
        assert heard.get(timeout=PATIENCE_S) == "good"
        letter = lane.last_dead()

    assert (letter.reason, letter.body) == ("malformed", body)


def test_options_that_would_kill_a_thread_are_ignored(lane):
    options = {"throws": "x", "pipe_target": 1, "on_failure": [], "max_retries": "many"}
    lane.send(lane.message("sly", options=options))

    with lane.hear(threads=1) as heard:
        assert heard.get(timeout=PATIENCE_S) == "sly"


def test_an_expired_message_dies_of_its_age(lane):
    long_ago, far_away = 1_000, int(time.time() * 1000) + 60_000
    lane.send(lane.message("old", options={"expires_at": long_ago}))
    lane.send(lane.message("young", options={"expires_at": far_away}))

    with lane.hear(threads=1) as heard:
        assert heard.get(timeout=PATIENCE_S) == "young"
        assert lane.last_dead().reason == "expired"


def test_an_oversize_message_is_refused_with_its_whole_batch(lane):
    with pytest.raises(Oversize) as caught:
        lane.send(lane.message("small"), b"x" * (LIMIT + 1))

    assert (caught.value.queue, caught.value.size) == (lane.queue, LIMIT + 1)
    with lane.consuming() as consumer:
        assert next(consumer) is None


def test_the_largest_message_passes(lane):
    room = LIMIT - len(lane.message(""))
    lane.send(lane.message("x" * room))

    with lane.hear() as heard:
        assert len(heard.get(timeout=PATIENCE_S)) == room


def test_a_queue_that_nobody_declared_is_named_and_the_rest_is_stored(lane):
    with pytest.raises(Unroutable) as caught:
        lane.publisher.publish([("lost.1", b"{}"), (lane.queue, lane.message("kept"))])

    assert caught.value.queues == {"lost.1"}
    with lane.hear() as heard:
        assert heard.get(timeout=PATIENCE_S) == "kept"


def test_an_actor_may_enqueue_and_a_delay_is_refused(lane):
    made = broker.broker_for(lane.url, consume=False)
    message = dramatiq.Message.decode(lane.message("sent"))

    made.enqueue(message)
    with pytest.raises(ValueError, match="delayed"):
        made.enqueue(message, delay=1000)
    made.close()

    with lane.hear() as heard:
        assert heard.get(timeout=PATIENCE_S) == "sent"


def test_declaring_twice_changes_nothing(lane):
    lane.send(lane.message("kept"))

    broker.declare(lane.url, [lane.queue])

    with lane.hear() as heard:
        assert heard.get(timeout=PATIENCE_S) == "kept"


def test_a_worker_holds_no_more_than_twice_its_threads(lane):
    lane.send(*(lane.message(n) for n in range(20)))
    release = threading.Event()
    begun = Queue()

    def wait(number):
        begun.put(number)
        release.wait(PATIENCE_S)

    with lane.working(wait, threads=2), lane.consuming(prefetch=40) as other:
        begun.get(timeout=PATIENCE_S), begun.get(timeout=PATIENCE_S)
        taken = [message for message in (next(other) for _ in range(30)) if message]
        release.set()

    assert 16 <= len(taken) <= 18


def test_a_worker_that_stops_finishes_what_it_has_begun_and_gives_back_the_rest(lane):
    lane.send(*(lane.message(n) for n in range(10)))
    done = Queue()

    def work(number):
        threading.Event().wait(0.3)
        done.put(number)

    with lane.working(work, threads=1):
        first = done.get(timeout=PATIENCE_S)
    finished = {first, *_drained(done)}

    with lane.hear() as heard:
        rest = {heard.get(timeout=PATIENCE_S) for _ in range(10 - len(finished))}
    assert (finished | rest, finished & rest) == (set(range(10)), set())
    assert heard.empty()


def test_a_worker_and_a_publisher_outlive_the_brokers_restart(lane):
    with lane.hear() as heard:
        lane.send(lane.message("before"))
        heard.get(timeout=PATIENCE_S)

        lane.restart()
        lane.send_when_back(lane.message("after"))

        until(lambda: heard.get(timeout=PATIENCE_S) == "after")  # "before" may come again


def test_what_was_confirmed_or_in_hand_when_the_broker_crashed_comes_again(lane):
    begun, release = Queue(), threading.Event()

    def work(word):
        begun.put(word)
        release.wait(PATIENCE_S)

    words = {f"word-{n}" for n in range(50)}
    lane.send(*map(lane.message, words))

    with lane.working(work, threads=2):
        in_hand = {begun.get(timeout=PATIENCE_S), begun.get(timeout=PATIENCE_S)}
        lane.crash()
        release.set()
        again = {begun.get(timeout=PATIENCE_S) for _ in words}

    assert in_hand < again == words


@pytest.mark.parametrize("scheme", ["amqp", "postgresql"])
def test_publishing_to_nobody_is_unconfirmed(scheme):
    publisher = broker.publisher_for(f"{scheme}://guest:guest@127.0.0.1:{free_ports(1)[0]}/x")

    with pytest.raises(Unconfirmed):
        publisher.publish([("q.1", b"{}")])


def test_an_unknown_scheme_is_refused():
    with pytest.raises(ValueError, match="amqp"):
        broker.broker_for("nats://localhost", consume=False)


def _refuse(*_):
    raise RuntimeError("the BMC is on fire")


def _next(consumer, lane):
    """Return the next message of *consumer*, or None once it is a dead letter."""
    found = []
    until(lambda: found.append(next(consumer)) or found[-1] or lane.dead())
    return found[-1]


def _drained(queue):
    return [queue.get_nowait() for _ in range(queue.qsize())]

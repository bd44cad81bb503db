import socket
import threading

import pytest
import requests

from config.pinned import PinnedAdapter, TooLarge, Watch, body_of


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def get(listener, watch, address_of, seconds=60.0):
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", PinnedAdapter(address_of, watch))
    url = f"http://machine.example:{listener.getsockname()[1]}/"
    with watch.bounded(seconds):
        return body_of(session.get(url, stream=True, timeout=60), 1000)


def answering(listener, body):
    def answer():
        line, _ = listener.accept()
        with line:
            asked.append(line.recv(4096))
            line.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body)

    asked = []
    thread = threading.Thread(target=answer)
    thread.start()
    return asked, thread


def test_the_judged_address_is_connected_to_and_the_name_is_asked_for(listener):
    asked, thread = answering(listener, b"hello")

    body = get(listener, Watch(), lambda _host, _port: "127.0.0.1")

    thread.join()
    assert body == b"hello"
    assert b"Host: machine.example:" in asked[0]


def test_an_answer_of_more_bytes_than_are_taken_is_left(listener):
    _, thread = answering(listener, bytes(1001))

    with pytest.raises(TooLarge, match="over 1000 bytes"):
        get(listener, Watch(), lambda _host, _port: "127.0.0.1")

    thread.join()


def test_a_peer_that_never_answers_is_hung_up_on(listener):
    with pytest.raises(requests.ReadTimeout, match="no whole answer"):
        get(listener, Watch(), lambda _host, _port: "127.0.0.1", seconds=0.2)

    line, _ = listener.accept()
    with line:
        line.settimeout(60)
        while line.recv(4096):
            pass


def test_a_connection_that_was_made_too_late_is_hung_up_on_at_once(listener):
    watch = Watch()

    def late(_host, _port):
        watch.over.wait(60)
        return "127.0.0.1"

    with pytest.raises(requests.ReadTimeout):
        get(listener, watch, late, seconds=0.1)

"""Headers that pika would not write: what stands in a Raw goes over the wire as it is."""

import struct

import pytest
from pika import data


class Raw(bytes):
    """The value of a header, its type in front."""


BEYOND_TIME = Raw(b"T" + struct.pack(">Q", 2**64 - 1))
NO_TEXT = Raw(b"S" + struct.pack(">I", 2) + b"\xff\xfe")


def nested(depth):
    """Return tables in one another."""
    value = b"V"
    for _ in range(depth):
        value = b"F" + struct.pack(">I", 2 + len(value)) + b"\x01x" + value
    return Raw(value)


@pytest.fixture
def raw_headers(monkeypatch):
    """Have pika send what stands in a Raw."""
    usual = data.encode_value

    def encode(pieces, value):
        if not isinstance(value, Raw):
            return usual(pieces, value)
        pieces.append(bytes(value))
        return len(value)

    monkeypatch.setattr(data, "encode_value", encode)

"""`python -m tests.fuzz.flood SERVER SECONDS RATE`: hostile packets at live servers, as it comes.

Mutations of the fuzzers' seeds by DHCP, TFTP, DNS and HTTP; DISCOVERs of ever new clients and from
relays that are none; and connections that say a byte at a time.  Prints how many of each.
"""

import json
import random
import socket
import struct
import sys
import threading
import time
from collections import Counter
from contextlib import suppress

from tests.fuzz import dhcp, dns, http, tftp

INTERFACE = "c0"
SOURCES = [f"10.77.0.{n}" for n in range(60, 70)]
SLOW = 200
"""Connections that trickle."""


def mutated(rng, data):
    """*data* with a few bytes changed, doubled, left out or put in."""
    raw = bytearray(data)
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(raw) + 1)
        match rng.randrange(5):
            case 0:
                raw[at : at + 1] = rng.randbytes(1)
            case 1:
                del raw[at : at + rng.randrange(1, 9)]
            case 2:
                raw[at:at] = rng.randbytes(rng.randrange(1, 9))
            case 3:
                raw[at:at] = raw[at : at + 40] * rng.randrange(1, 9)
            case _:
                raw[at : at + 4] = struct.pack("!I", rng.choice((0, 1, 255, 65535, 2**32 - 1)))
    return bytes(raw[:1400])


class Flood:
    def __init__(self, server, seconds, rate):
        self.server = server
        self.until = time.monotonic() + seconds
        self.rate = rate
        self.sent = Counter()

    def paced(self, name):
        """Count to the end, so many a second."""
        began, number = time.monotonic(), 0
        while (now := time.monotonic()) < self.until:
            if number > (now - began) * self.rate:
                time.sleep(0.005)
                continue
            number += 1
            self.sent[name] += 1
            yield number

    def dhcp(self):
        rng, seeds = random.Random(1), [seed[2:] for seed in dhcp.seeds()]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, INTERFACE.encode())
            for _ in self.paced("dhcp"):
                sock.sendto(mutated(rng, rng.choice(seeds)), ("255.255.255.255", 67))

    def starve(self):
        """Each a client that was never there, every other behind a relay that is none."""
        uefi = [(60, b"PXEClient:Arch:00007:UNDI:003016"), (93, b"\0\7")]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, INTERFACE.encode())
            for number in self.paced("starve"):
                giaddr = 0x0A4D0000 + number % 256 if number % 2 else 0
                raw = bytearray(dhcp.packet(1, uefi, giaddr=giaddr, flags=0x8000))
                raw[30:34] = number.to_bytes(4, "big")
                sock.sendto(raw, ("255.255.255.255", 67))

    def datagrams(self, name, port, seeds):
        rng = random.Random(2)
        socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in SOURCES]
        for sock, source in zip(socks, SOURCES, strict=True):
            sock.bind((source, 0))
        for _ in self.paced(name):
            with suppress(OSError):
                rng.choice(socks).sendto(mutated(rng, rng.choice(seeds)), (self.server, port))

    def connections(self):
        rng, seeds = random.Random(3), [seed[1:] for seed in http.seeds()]
        for _ in self.paced("http"):
            with suppress(OSError), self.connected(rng.choice(SOURCES)) as sock:
                sock.settimeout(0.2)
                sock.sendall(mutated(rng, rng.choice(seeds)))
                sock.shutdown(socket.SHUT_WR)
                sock.recv(4096)

    def connected(self, source):
        return socket.create_connection((self.server, 8081), 1, (source, 0))

    def trickles(self):
        """Many that say a letter of their head twice a second."""
        socks = []
        with suppress(OSError):
            socks = [self.connected(SOURCES[n % len(SOURCES)]) for n in range(SLOW)]
        for letter in "GET /healthz HTTP/1.1 X" * 9:
            for sock in socks:
                with suppress(OSError):
                    sock.sendall(letter.encode())
                    self.sent["slow"] += 1
            time.sleep(0.5)
            if time.monotonic() > self.until:
                return

    def run(self):
        requests = [seed.partition(tftp._MARK)[0] for seed in tftp.seeds()]
        parts = (
            (self.dhcp,),
            (self.starve,),
            (self.datagrams, "tftp", 69, requests),
            (self.datagrams, "dns", 53, [seed[1:] for seed in dns.seeds()]),
            (self.connections,),
            (self.trickles,),
        )
        threads = [threading.Thread(target=act, args=given) for act, *given in parts]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        sys.stdout.write(json.dumps(self.sent) + "\n")


if __name__ == "__main__":
    Flood(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])).run()

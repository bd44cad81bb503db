"""`python -m tests.pxe_stack.tftp_flood HOST PORT`: the corpus, 20,000 packets a second."""

import socket
import sys
import time
from itertools import count, cycle

from tests.pxe_stack.tftp_corpus import CORPUS

RATE, AT_ONCE = 20_000, 100


def main() -> None:
    address = (sys.argv[1], int(sys.argv[2]))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.71.0.1", 0))
        began, packets = time.monotonic(), cycle(CORPUS)
        for number in count(AT_ONCE, AT_ONCE):
            for _ in range(AT_ONCE):
                sock.sendto(next(packets)[:60_000], address)
            time.sleep(max(0.0, began + number / RATE - time.monotonic()))


if __name__ == "__main__":
    main()

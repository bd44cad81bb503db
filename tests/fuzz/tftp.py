"""TFTP: requests read and agreed on, and a transfer driven by whatever a client confirms."""

import tempfile
from pathlib import Path

from pxe_stack import tftp_packets
from pxe_stack.cuts import Cuts
from pxe_stack.loaders import Loaders
from pxe_stack.tftp_packets import Refused
from pxe_stack.transfer import LARGEST_BLOCK, LARGEST_WINDOW, Next, Transfer, agree
from tests.pxe_stack.tftp_corpus import CORPUS

LONGEST = 1100
TOKENS = (
    *(b"octet\0", b"netascii\0", b"blksize\0", b"tsize\0", b"timeout\0", b"windowsize\0"),
    *(b"snponly.efi\0", b"undionly.kpxe\0", b"../", b"abc\0", b"65464\0"),
)
_MARK = b"\xfa\xce"
"""Between the request and what the client then says."""


class Case:
    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        folder = Path(self.folder.name)
        (folder / "snponly.efi").write_bytes(bytes(range(256)) * 40)
        (folder / "undionly.kpxe").write_bytes(b"BIOS\r\n" * 90)
        (folder / "secret").write_text("not a loader")
        self.loaders = Loaders((folder,))
        self.served = {path.read_bytes() for path in folder.glob("*.*")}
        self.cuts = Cuts(ready_bytes=1 << 20)

    def one(self, data):
        """Take *data*: a request, and after a mark what the client says, three bytes at a time."""
        raw, _, said = data.partition(_MARK)
        try:
            asked = tftp_packets.read(raw)
        except Refused as refused:
            tftp_packets.error_packet(refused.code)
            return
        loader = self.loaders.find(asked.name)
        if loader is None:
            return
        assert loader.data in self.served, asked.name
        body = loader.netascii if asked.mode == "netascii" else loader.data
        agreed = agree(asked.options, len(body))
        assert set(agreed.answer) <= set(asked.options)
        assert 8 <= agreed.blksize <= LARGEST_BLOCK
        assert 1 <= agreed.window <= LARGEST_WINDOW
        if agreed.answer:
            assert tftp_packets.oack_packet(agreed.answer)[:2] == b"\0\6"
        self.transferred(agreed, self.cuts.cut(body, agreed.blksize), said)

    def transferred(self, agreed, cut, said):
        transfer, now, sent = Transfer(agreed=agreed, total=cut.blocks, begun=0.0), 0.0, 0
        transfer.window(now)
        for at in range(0, len(said) - 2, 3):
            now += said[at] / 8
            if said[at] == 255:
                called_for = transfer.on_silence(now)
            else:
                called_for = transfer.on_ack(said[at + 1] << 8 | said[at + 2], now)
            if called_for is Next.DONE:
                assert transfer.acked == transfer.total
            if called_for is not Next.SEND:
                continue
            first, last = transfer.window(now)
            assert 0 <= first <= last <= cut.blocks
            sent += len(cut.packets(first, last))
        # Whoever confirms nothing is sent no more than a few windows.
        allowed = (len(said) // 3 + 1) * agreed.window * cut.stride
        assert sent <= allowed


def seeds():
    """Requests of firmware and of nobody, and transfers that go well and badly."""
    well = b"".join(bytes((1, block >> 8, block & 255)) for block in range(30))
    badly = b"\xff\0\0" * 5 + b"\1\0\1\1\0\1\1\xff\xff\1\0\3"
    return [raw[:1040] + _MARK + said for raw in CORPUS for said in (b"", well, badly)]

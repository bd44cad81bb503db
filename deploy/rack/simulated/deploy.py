"""The deploy system of deploy/image, played: the same steps, refusals and reports, no disk.

Source: deploy/image/initramfs.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Self, TypeVar

from deploy.rack.hardware import Disk, Hardware
from deploy.rack.simulated import http
from deploy.rack.simulated.http import Answer, Unanswered
from deploy.rack.simulated.pace import Pace

T = TypeVar("T")

SEED: Final = ("meta-data", "user-data", "vendor-data", "network-config")
_LONGEST_PAUSE: Final = 15.0


class Failed(Exception):
    """The deployment cannot go on: it is told to the site, and the machine powers off."""

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(f"{stage}: {reason}")
        self.stage = stage
        self.reason = reason


class Wiped(Exception):
    """The disks are empty, and the machine powers off."""


class Again(Exception):
    """This may go better the next time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What this boot is to do."""

    image: str
    size: int
    sha256: str
    chunks: str
    seed: str
    callback: str
    serial: str
    wwn: str
    least: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read lines of a key, one space, and a value.  Raises Failed."""
        lines = told(text)
        if lines.get("version") != "1":
            raise Failed("manifest", f"the manifest has version '{lines.get('version', '')}'")
        try:
            made = cls(
                image=lines["image"],
                size=int(lines["image-size"]),
                sha256=lines["image-sha256"],
                chunks=lines["chunks"],
                seed=lines["seed"],
                callback=lines["callback"],
                serial=lines.get("disk-serial", ""),
                wwn=lines.get("disk-wwn", ""),
                least=int(lines.get("disk-min-bytes", "0")),
            )
        except (KeyError, ValueError) as exc:
            raise Failed("manifest", f"the manifest lacks something: {exc!r}") from exc
        if not (made.serial or made.wwn):
            raise Failed("manifest", "the manifest identifies no disk by serial or WWN")
        return made


def told(manifest: str) -> dict[str, str]:
    """Return the lines of *manifest*: keys, one space, and values."""
    words = (line.partition(" ") for line in manifest.splitlines())
    return {key: value for key, _, value in words}


@dataclass(frozen=True, slots=True)
class Chunk:
    offset: int
    length: int
    sha256: str
    """Empty where it is all zeros."""


@dataclass(slots=True)
class Deployment:
    """One run of the deploy system on *unit*, at *address*."""

    unit: Hardware
    address: str
    pace: Pace
    say: Callable[[str], None]
    callback: str = field(default="", init=False)

    async def run(self, manifest_url: str) -> dict[str, str]:
        """Do as the manifest says; return the seed that lies on the disk now.  Raises Failed."""
        try:
            return await self._steps(manifest_url)
        except Failed as exc:
            if self.callback:
                await self._give_up(exc)
            raise

    async def _steps(self, manifest_url: str) -> dict[str, str]:
        text = await self._text("manifest", 5, manifest_url)
        if told(text).get("task") == "wipe":
            return await self._wipe(told(text))
        manifest = Manifest.parse(text)
        self.callback = manifest.callback
        disk = self._chosen(manifest)
        await self._told(5, "started", self._facts(disk))
        await self._write(manifest)
        seed = await self._seed(manifest)
        done = {"written": manifest.size, "sha256": manifest.sha256}
        await self._told(20, "installed", done)
        return seed

    async def _wipe(self, manifest: Mapping[str, str]) -> dict[str, str]:
        """Say what a wipe says; what lay on the disk is kept by nobody here."""
        self.callback = manifest.get("callback", "")
        disk = self.unit.disk
        if manifest.get("disk-serial", disk.serial) != disk.serial:
            raise Failed("disk", f"no disk matches serial '{manifest['disk-serial']}'")
        await self._told(5, "started", self._facts(disk))
        await self.pace.pass_(self.pace.install)
        report = f"nvme0n1 serial={disk.serial} bytes={disk.size} found=gpt left=nothing"
        done = {"disks": 1, "extent": "signatures", "disk1": report}
        await self._told(20, "wiped", done)
        raise Wiped

    def _chosen(self, manifest: Manifest) -> Disk:
        disk = self.unit.disk
        fits = disk.size >= max(manifest.least, manifest.size)
        named = manifest.serial in {"", disk.serial}
        known = not manifest.wwn or _plain(manifest.wwn) == _plain(disk.wwn)
        if not (fits and named and known):
            seen = f"serial '{disk.serial}', wwn '{disk.wwn}', {disk.size} bytes"
            raise Failed("disk", f"no disk matches serial '{manifest.serial}'; seen: {seen}")
        return disk

    def _facts(self, disk: Disk) -> dict[str, object]:
        return {
            "disk": disk.serial,
            "disk_bytes": disk.size,
            "mac": self.unit.mac,
            "address": self.address,
            "firmware": str(self.unit.firmware),
            "processors": self.unit.cores,
            "memory_bytes": self.unit.memory_mib << 20,
            "vendor": "Sprout",
            "product": "Simulated machine",
            "serial": self.unit.serial,
            "kernel": "simulated",
        }

    async def _write(self, manifest: Manifest) -> None:
        chunks = chunk_list(await self._text("image", 5, manifest.chunks), manifest)
        for chunk in self._verified(chunks):
            await tried(6, self.pace, "image", partial(self._verify, manifest.image, chunk))
        for step in range(1, self.pace.progress + 1):
            await self.pace.pass_(self.pace.install / self.pace.progress)
            written = manifest.size * step // self.pace.progress
            await self._post_once("progress", {"written": written, "total": manifest.size})

    def _verified(self, chunks: list[Chunk]) -> list[Chunk]:
        """The last ones: those before tell a reader of the timeline nothing more."""
        wanted = [chunk for chunk in chunks if chunk.sha256]
        return wanted if self.pace.chunks < 0 else wanted[len(wanted) - self.pace.chunks :]

    async def _verify(self, image: str, chunk: Chunk) -> None:
        span = (chunk.offset, chunk.length)
        answer = await asked(http.get(image, source=self.address, part=span))
        if (answer.status, len(answer.body)) != (206, chunk.length):
            raise Again(f"HTTP {answer.status}, {len(answer.body)} bytes")
        actual = hashlib.sha256(answer.body).hexdigest()
        if actual != chunk.sha256:
            where = f"the chunk at byte {chunk.offset}"
            raise Failed("image", f"{where} has the checksum {actual}, not {chunk.sha256}")

    async def _seed(self, manifest: Manifest) -> dict[str, str]:
        found: dict[str, str] = {}
        for name in SEED:
            answer = await self._fetched("seed", 5, manifest.seed + name)
            if answer.status == 200:
                found[name] = answer.body.decode("utf-8", "replace")
        return found

    async def _text(self, stage: str, times: int, url: str) -> str:
        answer = await self._fetched(stage, times, url)
        if answer.status != 200:
            raise Failed(stage, f"HTTP {answer.status} for what it was told to fetch")
        return answer.body.decode("utf-8", "replace")

    async def _fetched(self, stage: str, times: int, url: str) -> Answer:
        async def fetch() -> Answer:
            answer = await asked(http.get(url, source=self.address))
            if answer.status not in {200, 404}:
                raise Again(f"HTTP {answer.status}")
            return answer

        return await tried(times, self.pace, stage, fetch)

    async def _told(self, times: int, event: str, form: Mapping[str, object]) -> None:
        await tried(times, self.pace, event, lambda: self._post(event, form))

    async def _post(self, event: str, form: Mapping[str, object]) -> None:
        answer = await asked(http.post(self.callback + event, form, source=self.address))
        if answer.status != 200:
            raise Again(f"HTTP {answer.status}")

    async def _post_once(self, event: str, form: Mapping[str, object]) -> None:
        try:
            await self._post(event, form)
        except Again as exc:
            self.say(f"{event} was not taken: {exc}")

    async def _give_up(self, why: Failed) -> None:
        try:
            await self._told(5, "failed", {"stage": why.stage, "reason": why.reason})
        except Failed:
            self.say("the site was not reached")


def chunk_list(text: str, manifest: Manifest) -> list[Chunk]:
    """Read a list of chunks; refuse one of another image, and one with holes.  Raises Failed."""
    head, *lines = text.splitlines() or [""]
    if head.split() != ["sprout-chunks", "1", str(manifest.size), manifest.sha256]:
        raise Failed("image", f"the list of chunks is of another image: {head[:100]}")
    chunks: list[Chunk] = []
    end = 0
    for line in lines:
        try:
            offset, length, sum_ = line.split()
            chunk = Chunk(int(offset), int(length), "" if sum_ == "zero" else sum_)
        except ValueError as exc:
            raise Failed("image", f"no chunk: {line[:100]}") from exc
        if chunk.offset != end or len(chunk.sha256) not in {0, 64}:
            raise Failed("image", f"the chunk at {offset} does not follow the one before")
        end += chunk.length
        chunks.append(chunk)
    if end != manifest.size:
        raise Failed("image", f"the list of chunks ends at {end}, the image at {manifest.size}")
    return chunks


def argument(line: str, name: str) -> str:
    """Return the value of *name* on a kernel's command line, the last one, or nothing."""
    words = (word.partition("=") for word in line.split())
    return next((value for key, _, value in reversed(list(words)) if key == name), "")


async def asked(asking: Awaitable[Answer]) -> Answer:
    try:
        return await asking
    except Unanswered as exc:
        raise Again(str(exc)) from exc


async def tried(times: int, pace: Pace, stage: str, act: Callable[[], Awaitable[T]]) -> T:
    """Repeat *act* until it goes well; the pauses grow.  Raises Failed."""
    pause = pace.retry
    for left in range(times - 1, -1, -1):
        try:
            return await act()
        except Again as exc:
            if not left:
                raise Failed(stage, f"tried {times} times: {exc}") from exc
        await asyncio.sleep(pause)
        pause = min(pause * 2, pace.retry * _LONGEST_PAUSE)
    raise AssertionError("the last try returns or raises")


def _plain(wwn: str) -> str:
    text = wwn.lower().removeprefix("wwn-").removeprefix("0x")
    for kind in ("naa.", "eui.", "uuid."):
        text = text.removeprefix(kind)
    return text.translate({ord(mark): None for mark in " :-"})

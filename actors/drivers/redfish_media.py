"""Virtual media of a BMC: an image that the BMC fetches, shown to the machine as a CD.

Source: DMTF DSP0268, VirtualMedia; sushy sends what this BMC's kind of it wants.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

from actors.drivers.deadline import Deadline
from actors.drivers.errors import Garbled, NoEffect, Refused, Unreachable
from actors.drivers.redfish_line import translated
from actors.drivers.systems import Target

_DISCS: Final = frozenset({"CD", "DVD"})


class NoDisc(Refused):
    """The BMC has no virtual CD, and so nothing in one."""


class Disc:
    """The first virtual CD of a system.  Every method raises DriverError."""

    def __init__(
        self,
        system: Any,
        target: Target,
        deadline: Deadline,
        pause: Callable[[float], object],
        doing: Callable[[str], None],
    ) -> None:
        self._target = target
        self._deadline = deadline
        self._pause = pause
        self._doing = doing
        found = next((each for each in self._members(system) if _is_disc(each)), None)
        if found is None:
            raise NoDisc(f"{target.address}: this BMC has no virtual CD")
        self._drive = found

    def insert(self, url: str) -> dict[str, Any]:
        """Have the image at *url* in the drive; what else is there is ejected first.

        Returns {image, changed}.
        """
        inserted, image = self._shown()
        if inserted and image == url:
            return {"image": url, "changed": False}
        if inserted:
            self.eject()
        with translated(self._target):
            self._drive.insert_media(url)
        self._reached(inserted=True)
        return {"image": url, "changed": True}

    def eject(self) -> dict[str, Any]:
        """Have nothing in the drive.  Returns {image, changed}."""
        if not self._shown()[0]:
            return {"image": "", "changed": False}
        with translated(self._target):
            self._drive.eject_media()
        self._reached(inserted=False)
        return {"image": "", "changed": True}

    def _members(self, system: Any) -> Iterator[Any]:
        """Yield the virtual media of *system*, which older BMCs have at their managers."""
        for owner in self._owners(system):
            if "VirtualMedia" not in owner.json:
                continue
            with translated(self._target):
                collection = owner.virtual_media
            for path in collection.members_identities:
                with suppress(Garbled):  # one that makes no sense hides no other
                    yield self._member(collection, path)

    def _owners(self, system: Any) -> Iterator[Any]:
        yield system
        with suppress(Garbled), translated(self._target):
            yield from system.managers

    def _member(self, collection: Any, path: str) -> Any:
        with translated(self._target):
            return collection.get_member(path)

    def _shown(self) -> tuple[bool, str]:
        with translated(self._target):
            self._drive.refresh()
            return bool(self._drive.inserted), str(self._drive.image or "")

    def _reached(self, *, inserted: bool) -> None:
        """Return when the BMC shows it.  Raises NoEffect: some fetch first, and fail in silence."""
        word = "inserted" if inserted else "ejected"
        while True:
            with suppress(Unreachable):
                if self._shown()[0] is inserted:
                    return
            if self._deadline.left <= 0:
                raise NoEffect(
                    f"{self._target.address}: took the order, and shows no media {word}: can it "
                    "reach the image?"
                )
            self._doing(f"waiting for the media to be {word}")
            self._pause(min(0.5, self._deadline.left))


def _is_disc(drive: Any) -> bool:
    return any(each.value in _DISCS for each in drive.media_types)

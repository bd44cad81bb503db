"""What the events process reads in PostgreSQL: one question at a time, beside the loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from models.database import borrowed

_Given = ParamSpec("_Given")
_Told = TypeVar("_Told")


class Desk:
    """One thread with one connection; answers come in the order of the questions."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "desk")

    async def ask(
        self, question: Callable[_Given, _Told], *given: _Given.args, **named: _Given.kwargs
    ) -> _Told:
        """Return what *question* returns, called with a connection.  Raises Unavailable."""

        def asked() -> _Told:
            with borrowed():
                return question(*given, **named)

        return await asyncio.get_running_loop().run_in_executor(self._thread, asked)

    def close(self) -> None:
        """Take no more questions."""
        self._thread.shutdown(wait=False, cancel_futures=True)

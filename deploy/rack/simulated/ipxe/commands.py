"""iPXE's commands, each a function of the run and its words; all but `chain`, which needs scripts.

Every one raises Failure.  Source: https://ipxe.org/cmd.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from deploy.rack.simulated.ipxe.state import (
    Abandoned,
    Failure,
    Image,
    Kernel,
    Left,
    State,
    name_of,
)

Command = Callable[[State, Sequence[str]], Awaitable[None]]

_VALUED: Final = frozenset({"--name", "-n", "--timeout", "-t"})


async def echo(run: State, words: Sequence[str]) -> None:
    run.host.say(" ".join(words))


async def set_(run: State, words: Sequence[str]) -> None:
    if not words:
        raise Failure("set: a name is wanted")
    run.variables[name_of(words[0])] = " ".join(words[1:])


async def inc(run: State, words: Sequence[str]) -> None:
    try:
        name, by = name_of(words[0]), int(words[1]) if len(words) > 1 else 1
        run.variables[name] = str(int(run.variables[name]) + by)
    except (IndexError, KeyError, ValueError) as exc:
        raise Failure("inc: a number is wanted") from exc


async def iseq(run: State, words: Sequence[str]) -> None:
    if len(words) != 2 or words[0] != words[1]:
        raise Failure("not equal")


async def isset(run: State, words: Sequence[str]) -> None:
    if not words:
        raise Failure("not set")


async def goto(run: State, words: Sequence[str]) -> None:
    if len(words) != 1 or words[0] not in run.labels:
        raise Failure(f"No such label: {' '.join(words)}")
    run.at = run.labels[words[0]]
    run.jumped = True


async def sleep(run: State, words: Sequence[str]) -> None:
    try:
        seconds = float(words[0])
    except (IndexError, ValueError) as exc:
        raise Failure("sleep: seconds are wanted") from exc
    await run.host.sleep(seconds)


async def exit_(run: State, words: Sequence[str]) -> None:
    if words and words[0] != "0":
        raise Abandoned(f"exit {words[0]}")
    run.outcome = Left()


async def kernel(run: State, words: Sequence[str]) -> None:
    run.kernel = (await _loaded(run, words)).name


async def imgfetch(run: State, words: Sequence[str]) -> None:
    await _loaded(run, words)


async def imgargs(run: State, words: Sequence[str]) -> None:
    if not words or words[0] not in run.images:
        raise Failure("imgargs: No such image")
    run.images[words[0]].arguments = " ".join(words[1:])


async def imgfree(run: State, words: Sequence[str]) -> None:
    for name in words or list(run.images):
        run.images.pop(name, None)


async def params(run: State, words: Sequence[str]) -> None:
    run.form = {}


async def param(run: State, words: Sequence[str]) -> None:
    if not words:
        raise Failure("param: a name is wanted")
    run.form[words[0]] = " ".join(words[1:])


async def boot(run: State, words: Sequence[str]) -> None:
    name = words[0] if words else run.kernel
    started = run.images.get(name)
    if started is None:
        raise Failure("No such file or directory")
    others = tuple(each for each in run.images if each != name)
    run.outcome = Kernel(started.url, started.arguments, others)


def split(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Part leading options from what follows: the address, and a kernel's own arguments."""
    found: dict[str, str] = {}
    rest = list(words)
    while rest and rest[0].startswith("-"):
        name = rest.pop(0)
        found[name] = rest.pop(0) if name in _VALUED and rest else ""
    return found, rest


async def _loaded(run: State, words: Sequence[str]) -> Image:
    options, rest = split(words)
    if not rest:
        raise Failure("an address is wanted")
    url, form, _ = rest[0].partition("##params")
    fetching = run.host.post(url, run.form) if form else run.host.fetch(url, text=False)
    name = options.get("--name") or options.get("-n") or url.rpartition("/")[2]
    image = Image(name, url, await fetching, " ".join(rest[1:]))
    run.images[name] = image
    return image


COMMANDS: Final[Mapping[str, Command]] = {
    "echo": echo,
    "set": set_,
    "inc": inc,
    "iseq": iseq,
    "isset": isset,
    "goto": goto,
    "sleep": sleep,
    "exit": exit_,
    "kernel": kernel,
    "initrd": imgfetch,
    "imgfetch": imgfetch,
    "imgargs": imgargs,
    "imgfree": imgfree,
    "params": params,
    "param": param,
    "boot": boot,
}

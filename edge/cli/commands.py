"""How commands are entered: each takes -o, and none is loaded before it is wanted."""

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, Any, Final, cast

import typer
from typer.core import (  # type: ignore[attr-defined] # typer does not say that it re-exports
    CompletionItem,
    TyperCommand,
    TyperGroup,
)
from typer.main import get_command, get_group

from edge.cli.show import Form, choose

PLAIN: Final[dict[str, Any]] = {
    "add_completion": False,
    "rich_markup_mode": None,
    "no_args_is_help": True,
}

_OUTPUT: Final = Annotated[
    Form, typer.Option("--output", "-o", help="How results are written to standard output.")
]
_AS_JSON: Final = Annotated[bool, typer.Option("--json", hidden=True, help="The same as -o json.")]

Command = Callable[..., None]


class Commands(typer.Typer):
    """Commands that belong together; each shows its results in the form that -o names."""

    def __init__(self, words: str, **more: Any) -> None:
        super().__init__(help=words, **(PLAIN | more))

    def command(self, name: str | None = None, **more: Any) -> Callable[[Any], Any]:
        """Enter a command, and its -o."""
        enter = super().command(name, **more)

        def entered(function: Command) -> Command:
            enter(_with_output(function))
            return function

        return entered


def _with_output(function: Command) -> Command:
    @wraps(function)
    def shown(*, output: Form, as_json: bool, **given: Any) -> None:
        choose(Form.JSON if as_json else output)
        function(**given)

    taken = inspect.signature(function, eval_str=True)
    asked = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=what)
        for name, default, what in (
            ("output", Form.TABLE, _OUTPUT),
            ("as_json", False, _AS_JSON),
        )
    ]
    parameters = [*taken.parameters.values(), *asked]
    shown.__signature__ = taken.replace(parameters=parameters)  # type: ignore[attr-defined]
    shown.__annotations__ = {each.name: each.annotation for each in parameters}
    return shown


@dataclass(frozen=True, slots=True)
class Entry:
    """A command or group of commands: where it is (`module:name`), and what it is for.

    *raw*: it runs something, shows no results of its own, and takes no -o.
    """

    where: str
    words: str
    raw: bool = False
    settings: Mapping[str, Any] | None = None

    def load(self, name: str) -> TyperCommand | TyperGroup:
        """Return it, imported now."""
        module, _, attribute = self.where.partition(":")
        found = getattr(importlib.import_module(module), attribute)
        if isinstance(found, typer.Typer):
            loaded = get_group(found)
            loaded.name = name
            return loaded
        alone = typer.Typer(**PLAIN) if self.raw else Commands("")
        alone.command(name, context_settings=dict(self.settings or {}))(found)
        return get_command(alone)  # type: ignore[return-value] # of one function, one command


Catalogue = Mapping[str, Mapping[str, Entry]]
"""Heading → name → entry."""


class _Later(Mapping[str, Any]):
    """Commands by name, each loaded when it is looked up."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self._entries = entries

    def __getitem__(self, name: str) -> Any:
        return self._entries[name].load(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def lazy(catalogue: Catalogue) -> type[TyperGroup]:
    """Return a group that has all of *catalogue*, each entry loaded when it is called."""
    entries = {name: entry for part in catalogue.values() for name, entry in part.items()}

    class Lazy(TyperGroup):
        """Knows the words for its help from the catalogue."""

        def __init__(self, **more: Any) -> None:
            super().__init__(**more)
            self.commands = cast("Any", _Later(entries))

        def list_commands(self, _: Any) -> list[str]:
            return list(entries)

        def shell_complete(self, ctx: Any, incomplete: str) -> list[CompletionItem]:
            # Not what typer would do, which loads every command for its words.
            return [
                CompletionItem(name, help=entry.words)
                for name, entry in entries.items()
                if name.startswith(incomplete)
            ]

        def format_commands(self, _: Any, formatter: Any) -> None:
            widest = max(map(len, entries))
            for heading, part in catalogue.items():
                with formatter.section(heading):
                    rows = [(name.ljust(widest), entry.words) for name, entry in part.items()]
                    formatter.write_dl(rows)

    return Lazy

"""Options that are written as name=value,name=value."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final
from urllib.parse import quote
from uuid import UUID

import typer

from edge.cli.client import Api, Told
from edge.cli.completing import actions, names

Rows = Sequence[Mapping[str, Any]]
_ONE_BY_ONE: Final = 5
"""Machines of a list that are asked for one by one; for more, all are."""


def _in_path(word: str) -> str:
    """Return *word* as it can stand in a URL's path: a name with a slash stays one name."""
    return quote(word, safe="")


Named = Annotated[str, typer.Argument(callback=_in_path)]
"""A thing by its id or name."""

_MACHINES: Final = names("/v1/machines", "hostname")
_HOSTS: Final = names("/api/hosts", "hostname")
_SITES: Final = names("/v1/sites", "slug")
_IMAGES: Final = names("/v1/images", "ref")
_PROFILES: Final = names("/v1/profiles", "ref")
_ARTIFACTS: Final = names("/v1/artifacts", "ref")
_NETWORKS: Final = names("/v1/networks", "name")

MachineName = Annotated[str, typer.Argument(callback=_in_path, autocompletion=_MACHINES)]
HostName = Annotated[str, typer.Argument(callback=_in_path, autocompletion=_HOSTS)]
SiteName = Annotated[str, typer.Argument(callback=_in_path, autocompletion=_SITES)]
ImageName = Annotated[str, typer.Argument(callback=_in_path, autocompletion=_IMAGES)]
ProfileName = Annotated[str, typer.Argument(callback=_in_path, autocompletion=_PROFILES)]
ArtifactName = Annotated[str, typer.Argument(callback=_in_path, autocompletion=_ARTIFACTS)]
NetworkName = Annotated[str, typer.Argument(callback=_in_path, autocompletion=_NETWORKS)]
WorkflowId = Annotated[
    str, typer.Argument(callback=_in_path, autocompletion=names("/v1/workflows", "id"))
]
PreparationId = Annotated[
    str, typer.Argument(callback=_in_path, autocompletion=names("/v1/image-preparations", "id"))
]

OfSite = Annotated[
    str,
    typer.Option("--site-id", help="Only this site's, by id or slug.", autocompletion=_SITES),
]
OfMachine = Annotated[
    str,
    typer.Option(
        "--machine-id",
        help="Only this machine's, by id or host name.",
        autocompletion=_MACHINES,
    ),
]
AtSite = Annotated[
    str, typer.Option("--site-id", help="Id or slug of the site.", autocompletion=_SITES)
]
AtMachine = Annotated[
    str,
    typer.Option("--machine-id", help="Id or host name of the machine.", autocompletion=_MACHINES),
]
ImageRef = Annotated[str, typer.Option(help="Ref of an image.", autocompletion=_IMAGES)]
ProfileRef = Annotated[str, typer.Option(help="Ref of a profile.", autocompletion=_PROFILES)]
ArtifactRef = Annotated[str, typer.Option(help="Ref of an artifact.", autocompletion=_ARTIFACTS)]
NetworkRef = Annotated[
    str, typer.Option(help="Id or name of a network of its site.", autocompletion=_NETWORKS)
]
ActionName = Annotated[
    str, typer.Option(help="One of: sprout day2-actions list", autocompletion=actions)
]

_TRUE: Final = {"true": True, "false": False}


def pairs(text: str, known: Mapping[str, str], option: str) -> dict[str, Any]:
    """Return `a=b,c=d` as a body; *known* maps the words to the body's names.  Raises Told."""
    found: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        word, equals, value = part.partition("=")
        if not equals or word not in known:
            raise Told(f"{option}: {part!r} is not understood", f"Known words: {', '.join(known)}.")
        if value:
            found[known[word]] = _TRUE.get(value, value)
    return found


def labels(words: list[str], option: str = "--label") -> dict[str, str]:
    """Return `k=v` words as labels.  Raises Told."""
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise Told(f"{option} {word!r}: want name=value")
        found[name] = value
    return found


def given(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return *body* without what was not given."""
    return {name: value for name, value in body.items() if value not in (None, "", [], {})}


def camel(name: str) -> str:
    """Return *name* as the API writes it: boot_base_url is bootBaseUrl."""
    first, *more = name.split("_")
    return first + "".join(map(str.capitalize, more))


def with_names(api: Api, rows: Rows, of: str = "machineId") -> Rows:
    """Return *rows* with the host name of each one's machine as `machine`: people know it by that.

    A machine that is not there any more keeps its id.
    """
    ids = {str(row[of]) for row in rows if row[of]}
    if len(ids) > _ONE_BY_ONE:
        found = {str(each["id"]): each["hostname"] for each in api.items("/v1/machines")}
    else:
        found = {each: _hostname(api, each) for each in ids}
    return [{**row, "machine": found.get(str(row[of]), row[of])} for row in rows]


def _hostname(api: Api, machine: str) -> str:
    try:
        return str(api.get(f"/v1/machines/{machine}")["hostname"])
    except Told:
        return machine


def site_id(api: Api, named: str) -> str:
    """Return the id of the site with this id or slug.  Raises Told."""
    return str(api.get(f"/v1/sites/{_in_path(named)}")["id"])


def is_id(word: str) -> bool:
    """Whether *word* has the form of an id."""
    try:
        UUID(word)
    except ValueError:
        return False
    return True

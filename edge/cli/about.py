"""`sprout version|openapi`: what this is, and what the API takes."""

from edge.cli import show, terminal
from edge.cli.client import api


def version() -> None:
    """Print the version."""
    import importlib.metadata

    found = importlib.metadata.version("sprout")
    if show.for_programs():
        show.data({"version": found})
    else:
        terminal.out(found)


def openapi() -> None:
    """Print the contract of the API, as JSON; as YAML with -o yaml."""
    show.data(api().get("/v1/openapi.json"))

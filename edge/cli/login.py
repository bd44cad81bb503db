"""`sprout login|logout|whoami`: a person at a terminal proves who he is, at the issuer."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge.cli import show, terminal
from edge.cli.client import STRANGER, Api, Told, api, settings

if TYPE_CHECKING:
    from edge.cli.kept import Login

Stay = Annotated[
    bool,
    typer.Option("--stay", help="Stay logged in after the issuer's own session (offline_access)."),
]


def login(stay: Stay = False) -> None:
    """Log in at the issuer that the edge names, with a code that you enter in a browser.

    The tokens go into the keyring, or into a file that you alone can read; they are shown to the
    API that you logged in for, and renewed while the issuer lets them.
    """
    from edge.cli import device_flow as flow
    from edge.cli.kept import Login, Logins

    client = api(by_login=False)
    how = _told_by(client)
    line = flow.Line(how["issuer"])
    issuer = flow.discovered(line, how["issuer"], how["clientId"])
    scopes = f"{how['scopes']} offline_access" if stay else how["scopes"]
    todo = flow.asked(line, issuer, scopes)
    _say(todo)
    made = Login(api=client.url, issuer=issuer, tokens=flow.waited(line, issuer, todo))
    where = Logins(settings().data_dir).keep(made)
    terminal.tell(f"logged in; the token is kept in {where}")
    _show_who(Api(client.url, made.tokens.access))


def _told_by(client: Api) -> dict[str, str]:
    """Return what the edge says of its issuer.  Raises Told."""
    from edge.cli.device_flow import demand_private

    demand_private(client.url, "the API")
    try:
        found: Any = client.get("/sign-in/issuer")
    except Told as exc:
        if exc.http != 404:
            raise
        raise Told(
            "nobody logs in by an issuer here",
            "Set SPROUT_API_TOKEN, or have an admin make a token: sprout tokens create",
        ) from None
    names = ("issuer", "clientId", "scopes")
    if not isinstance(found, dict) or not all(isinstance(found.get(n), str) for n in names):
        raise Told(f"{client.url} does not say where people log in")
    return found


def _say(todo: Any) -> None:
    """Tell the person what to do; *todo* is an `Asked`."""
    terminal.tell(f"Open {terminal.clean(todo.url)} and enter the code {terminal.clean(todo.code)}")
    if todo.direct_url:
        terminal.tell(f"or open {terminal.clean(todo.direct_url)} and compare the code")
    terminal.tell(f"waiting, {todo.life_s // 60} minutes at most; Ctrl-C ends it")


def logout() -> None:
    """Log out: the issuer takes the token back, and it is forgotten here."""
    from edge.cli.device_flow import Line, revoked
    from edge.cli.kept import Logins

    logins, url = Logins(settings().data_dir), api(by_login=False).url
    found = logins.find(url)
    if found is None:
        raise Told(f"nobody is logged in at {url}")
    logins.forget(url)
    issuer, token = found.issuer, found.tokens.refresh or found.tokens.access
    ended = bool(issuer.revocation_endpoint) and revoked(Line(issuer.name), issuer, token)
    told = "logged out" if ended else "forgotten here; the issuer did not take the token back"
    show.done({"api": url, "revoked": ended}, told)


def whoami() -> None:
    """Say who you are to the API, and what you may."""
    _show_who(api())


def _show_who(client: Api) -> None:
    came = client.get("/sign-in/who")
    if show.for_programs():
        show.data({**came, "api": client.url})
        return
    may = [f"{each['role']} of {each['site'] or 'all sites'}" for each in came["grants"]]
    about = {"name": came["name"], "subject": came["subject"], "may": may, "api": client.url}
    show.record(about)


def renewed(found: "Login") -> Any:
    """Return new tokens for a login whose own are over.  Raises Told."""
    from edge.cli.device_flow import Line, refreshed

    if not found.tokens.refresh:
        raise Told("the log-in is over", "Log in again: sprout login", status=STRANGER)
    return refreshed(Line(found.issuer.name), found.issuer, found.tokens.refresh)

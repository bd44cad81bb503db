"""What the one who asks may do, and which sites he sees: `models.roles.LEAST`, made to hold.

Rule 1: every route names its action; one without a row in the table is not even declared.
Rule 2: what is at a site that the caller does not see is not told from what is nowhere.
Rule 3: for whoever is bound to sites, a name is resolved once, among what he sees, and the view is
        given the id.
Rule 4: a view that was to judge a site and did not answers nobody who is bound to sites.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any, Final, NoReturn, TypeVar
from uuid import UUID

from flask import g, request
from pydantic import BaseModel

from edge import auth, refusals
from edge.refusals import recorded_as
from models import whereabouts
from models.errors import Denied, NotFound, Unknown
from models.roles import LEAST, Reach, Role, enough, held, most
from models.whereabouts import PLACES

SHARED: Final = frozenset(
    {"artifact", "image", "preparation", "profile", "letter", "sha256", "name", "token"}
)
"""Parts of URLs that name what belongs to no site, or what its view judges by itself."""

JUDGED_BY_VIEW: Final = frozenset({"api-token.create", "api-token.revoke", "host.create"})
"""Actions whose views judge sites that stand in lists, or that they choose themselves."""

IN_TEXT: Final[Mapping[str, str]] = {"siteId": "site", "machineId": "machine"}
"""What stands behind `?` and names a thing at a site."""

IN_BODY: Final[Mapping[str, tuple[str, str]]] = {
    "site_id": ("site", "/siteId"),
    "machine_id": ("machine", "/machineId"),
}
"""What stands in a body and names a thing at a site, with its pointer."""

_View = TypeVar("_View", bound=Callable[..., Any])


def check(action: str, parts: Iterable[str] = ()) -> None:
    """Return if a route may be declared with *action*, and *parts* in its URL.

    Raises LookupError: the process must not start with a route that nobody judges.
    """
    if action not in LEAST:
        raise LookupError(f"{action!r} has no row in models.roles.LEAST")
    for part in parts:
        if part not in PLACES and part not in SHARED:
            raise LookupError(
                f"<{part}> is neither in models.whereabouts.PLACES nor in edge.access.SHARED"
            )


def does(action: str) -> Callable[[_View], _View]:
    """Declare that a view of a page does *action*; it then answers only whoever may."""
    check(action)

    def declare(view: _View) -> _View:
        @wraps(view)
        def guarded(**path: Any) -> Any:
            admit(action)
            found = narrowed(action, path)
            if request.method not in auth.SAFE:
                settle(action, done=False)
            answer = view(**found)
            settle(action)
            return answer

        return recorded_as(action)(guard(guarded))  # type: ignore[return-value] # its signature

    return declare


def guard(view: _View) -> _View:
    """Mark a view that judges its caller."""
    view.judges_its_caller = True  # type: ignore[attr-defined] # functions bear attributes
    return view


def unguarded(views: Mapping[str, Callable[..., Any]]) -> list[str]:
    """Return the endpoints that anybody with any role could ask."""
    free = auth.OPEN | {auth.METRICS}
    return [n for n, v in views.items() if n not in free and not hasattr(v, "judges_its_caller")]


def visible_sites() -> frozenset[UUID] | None:
    """Return the sites that the caller has any role at; None: all."""
    g.site_judged = True
    return _visible()


def sites_for(action: str) -> frozenset[UUID] | None:
    """Return the sites at which the caller may do *action*; None: all."""
    g.site_judged = True
    least = LEAST[action].role
    if enough(_at(None), least):
        return None
    return frozenset(site for site in auth.operator().sites if enough(_at(site), least))


def demand(action: str, site: UUID | None) -> None:
    """Return if the caller may do *action* at *site*; None: what belongs to no site.

    Raises Denied.
    """
    g.site_judged = True
    refusals.happened_at(site)
    least, role = LEAST[action], _counting(action, site)
    if not enough(role, least.role):
        _deny(action, least.role, role, "" if least.reach is Reach.SOME else _where(site))


def may(action: str, site: UUID | None = None) -> bool:
    """Return whether the caller may do *action* at *site*: what is shown of it, not what is let."""
    return enough(_counting(action, site), LEAST[action].role)


def _counting(action: str, site: UUID | None) -> Role | None:
    """Return the caller's role that counts for *action* at *site*."""
    match LEAST[action].reach:
        case Reach.SOME:
            return _somewhere()
        case Reach.ALL:
            return _at(None)
        case Reach.SITE:
            return _at(site)


def admit(action: str) -> None:
    """Return if the caller may do *action* anywhere at all.  Raises Denied."""
    least = LEAST[action]
    role = _at(None) if least.reach is Reach.ALL else _somewhere()
    if not enough(role, least.role):
        _deny(action, least.role, role, " for all sites" if least.reach is Reach.ALL else "")


def narrowed(action: str, path: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of a URL, each thing at a site by its id, if the caller may do *action*.

    Raises NotFound for what he does not see, and Denied.
    """
    return _resolved(action, path, {name: name for name in PLACES})


def filtered(action: str, query: Mapping[str, str]) -> dict[str, str]:
    """Return what stands behind `?`, as `narrowed` does the parts of a URL."""
    return _resolved(action, query, IN_TEXT)


def within(action: str, body: BaseModel) -> None:
    """Return if the caller may do *action* where *body* says.  Raises Unknown, and Denied."""
    if _free(action):
        return
    for field, (kind, pointer) in IN_BODY.items():
        if field not in type(body).model_fields:
            continue
        ref = getattr(body, field)
        try:
            site = None if ref is None else whereabouts.found(kind, str(ref), _visible())[1]
        except NotFound as exc:
            raise Unknown(str(exc), field=pointer, hint=exc.hint) from None
        demand(action, site)


def settle(action: str, *, done: bool = True) -> None:
    """Return if nobody's site was left unjudged; before it is *done*, if it is judged that soon.

    Raises LookupError: the view is wrong.
    """
    if not done and action in JUDGED_BY_VIEW:
        return
    if not _free(action) and not g.get("site_judged", False):
        raise LookupError(f"{action} was done for a caller bound to sites, and no site was judged")


def _resolved(action: str, given: Mapping[str, Any], kinds: Mapping[str, str]) -> dict[str, Any]:
    if _free(action):
        return dict(given)
    found = dict(given)
    for name, ref in given.items():
        if name in kinds:
            identifier, site = whereabouts.found(kinds[name], str(ref), _visible())
            demand(action, site)
            found[name] = identifier if isinstance(ref, UUID) else str(identifier)
    return found


def _free(action: str) -> bool:
    """Whether no site can make a difference to what the caller may do."""
    least = LEAST[action]
    return least.reach is not Reach.SITE or enough(_at(None), least.role)


def _visible() -> frozenset[UUID] | None:
    operator = auth.operator()
    return None if _at(None) is not None else frozenset(operator.sites)


def _at(site: UUID | None) -> Role | None:
    operator = auth.operator()
    # A site that is not among the caller's has no slug here, and only roles for all sites count.
    return held(operator.grants, None if site is None else operator.sites.get(site))


def _somewhere() -> Role | None:
    return most(grant.role for grant in auth.operator().grants)


def _where(site: UUID | None) -> str:
    return " for all sites" if site is None else f" at {auth.operator().sites.get(site, site)}"


def _deny(action: str, least: Role, role: Role | None, where: str) -> NoReturn:
    has = "none" if role is None else role.value
    raise Denied(
        f"{action} takes the role {least.value}{where}, and yours is {has}",
        hint="Ask an admin for the role: it comes with a group, or with an API token.",
    )

"""The API as the command line calls it: one answer, or one sentence and what to do next."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from edge.cli import terminal

if TYPE_CHECKING:
    import requests

    from config.settings import Settings

TIMEOUT_S: Final = (5.0, 30.0)
"""To connect, and to be answered."""

PAGE: Final = 500
"""Rows of a list that are asked for at a time: all that the API gives."""

MOST_WORDS: Final = 200

FAILED: Final = 1
REFUSED: Final = 3
STRANGER: Final = 4
AWAY: Final = 5
LATE: Final = 6

EXIT_CODES: Final[Mapping[int, str]] = MappingProxyType(
    {
        0: "done",
        FAILED: "it failed",
        2: "the command line is wrong",
        REFUSED: "the API refused",
        STRANGER: "the API does not know who asks, or forbids it",
        AWAY: "the API cannot be reached, or cannot answer now",
        LATE: "what was waited for did not happen in time",
        130: "interrupted",
    }
)


class Told(Exception):
    """Something went wrong; the sentence, and what to do next, each on a line.

    *http* is the status of the API's answer, where there was one, and *headers* are its headers.
    """

    headers: Mapping[str, str] = MappingProxyType({})

    def __init__(
        self, sentence: str, *advice: str, status: int = FAILED, http: int | None = None
    ) -> None:
        self.message = "\n".join((sentence, *(f"  {line}" for line in advice if line)))
        self.status = status
        self.http = http
        super().__init__(self.message)

    def show(self) -> None:
        """Write to standard error."""
        terminal.tell(f"sprout: {self.message}")


class Api:
    """One edge, and the token that it is shown."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._token = token

    def get(self, path: str, **query: Any) -> Any:
        """Return the answer to GET."""
        wanted = {name: value for name, value in query.items() if value not in (None, "")}
        return self.call("GET", path, query=wanted)[0]

    def items(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """Return every row of a list, page after page."""
        query.setdefault("limit", PAGE)
        found: list[dict[str, Any]] = []
        while True:
            page = self.get(path, **query)
            found += page["items"]
            if not page.get("next"):
                return found
            query["cursor"] = page["next"]

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return the answer to POST; empty values are left out of the body."""
        return self.call("POST", path, body=body)[0]

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        content: bytes | None = None,
        given: Mapping[str, str] = MappingProxyType({}),
        wait_s: float = TIMEOUT_S[1],
    ) -> tuple[Any, Mapping[str, str]]:
        """Return (answer, headers); *content* is sent as it is.  Raises Told."""
        sent: dict[str, Any] = {"data": content, "given": given, "wait_s": wait_s}
        answer = self._answer(method, path, json=body, params=query, **sent)
        try:
            return (answer.json() if answer.content else None), answer.headers
        except (ValueError, RecursionError):
            raise self._away("its answer makes no sense") from None

    def content(self, path: str) -> Iterator[bytes]:
        """Yield the bytes at *path*, however many they are.  Raises Told."""
        import requests

        with self._answer("GET", path, accept="*/*", stream=True) as answer:
            try:
                yield from answer.iter_content(1 << 20)
            except requests.RequestException as exc:
                raise self._away("the answer broke off") from exc

    def _answer(
        self,
        method: str,
        path: str,
        *,
        accept: str = "application/json",
        given: Mapping[str, str] = MappingProxyType({}),
        wait_s: float = TIMEOUT_S[1],
        **more: Any,
    ) -> "requests.Response":
        # Half of the command line's start-up time: paid only by what asks the API.
        import requests

        try:
            answer = requests.request(
                method,
                f"{self.url}{path}",
                headers={"Accept": accept, **given},
                auth=self._prove,
                timeout=(TIMEOUT_S[0], wait_s),
                allow_redirects=False,
                **more,
            )
        except requests.RequestException as exc:
            raise self._away(type(exc).__name__) from exc
        if answer.is_redirect:
            raise _elsewhere(self.url, answer.headers["Location"])
        if not answer.ok:
            refusal = _refusal(answer.status_code, answer.text)
            refusal.headers = answer.headers
            raise refusal
        return answer

    def _away(self, why: str) -> Told:
        return Told(
            f"cannot reach {self.url} ({why})",
            "Start Sprout with: sprout up, or point SPROUT_API_URL to where it runs.",
            status=AWAY,
        )

    def _prove(self, request: "requests.PreparedRequest") -> "requests.PreparedRequest":
        """Show the token; without this, a netrc entry for the host would be shown instead."""
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _elsewhere(url: str, location: str) -> Told:
    """Return what is told of a redirect: followed, it would turn a POST into a GET."""
    return Told(
        f"{url} sends its callers to {_quoted(location)}",
        "If that is where Sprout is, point SPROUT_API_URL there.",
        status=AWAY,
    )


def _quoted(text: str) -> str:
    """Return the beginning of a stranger's *text*, on one line."""
    return terminal.clean(text[:MOST_WORDS])


def _refusal(status: int, text: str) -> Told:
    code = _exit_code(status)
    try:
        problem = json.loads(text)
        detail = terminal.clean(str(problem["detail"]))
        lines = [_fault(fault, detail) for fault in problem.get("errors", ())]
    except (ValueError, KeyError, TypeError, AttributeError):
        return Told(f"HTTP {status}: {_quoted(text)}", _access(status), status=code, http=status)
    return Told(detail, *lines, _access(status), status=code, http=status)


def _fault(fault: Mapping[str, str], told: str) -> str:
    """Return what is wrong at one place, without what was *told* already."""
    detail = terminal.clean(fault.get("detail", ""))
    new = "" if detail in told else detail
    hint = terminal.clean(fault.get("hint", ""))
    return " ".join(filter(None, (terminal.clean(fault.get("pointer", "")), new, hint)))


def _exit_code(status: int) -> int:
    if status in {401, 403}:
        return STRANGER
    return AWAY if status >= 500 else REFUSED


def _access(status: int) -> str:
    if status != 401:
        return ""
    return "Log in: sprout login; or set SPROUT_API_TOKEN; or be the user who runs sprout up."


def settings() -> "Settings":
    """Return the settings.  Raises Told."""
    from config.settings import BadSettings, Settings

    try:
        return Settings.load()
    except BadSettings as exc:
        raise Told(str(exc)) from exc


def api(*, by_login: bool = True) -> Api:
    """Return the API that the settings name, and the token for it: given, of a login, or kept.

    Raises Told.
    """
    from edge.cli.local.core import api_reached_at

    found = settings()
    url = api_reached_at(found).rstrip("/")
    token = found.api_token.get_secret_value()
    if not token and by_login:
        token = _of_login(found.data_dir, url) or _kept_token(found.data_dir, url)
    return Api(url, token)


def _of_login(folder: Path, url: str) -> str:
    """Return the token of the login at *url*, renewed if need be; nothing without one."""
    if not (folder / "logins.json").exists():
        return ""
    from edge.cli.kept import Logins
    from edge.cli.login import renewed

    found = Logins(folder).fresh(url, renewed)
    return found.tokens.access if found is not None else ""


def _kept_token(folder: Path, url: str) -> str:
    """Return the token that `sprout up` made for itself here, if it runs as this user."""
    from config.values import is_loopback

    if not is_loopback(url):
        return ""
    try:
        kept = json.loads((folder / "secrets.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(kept.get("admin_token", ""))

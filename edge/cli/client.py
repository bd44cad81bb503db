"""The API as the command line calls it: one answer, or one sentence and what to do next."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from config.settings import BadSettings, Settings

TIMEOUT_S: Final = (5.0, 30.0)
"""To connect, and to be answered."""

FAILED: Final = 1


class Told(click.ClickException):
    """Something went wrong; the sentence, and what to do next, each on a line."""

    exit_code = FAILED

    def __init__(self, sentence: str, *advice: str) -> None:
        super().__init__("\n".join((sentence, *(f"  {line}" for line in advice if line))))

    def show(self, file: Any = None) -> None:
        """Write to standard error."""
        click.echo(f"sprout: {self.message}", err=True)


class Api:
    """One edge, and the token that it is shown."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._token = token

    def get(self, path: str, **query: Any) -> Any:
        """Return the answer to GET."""
        wanted = {name: value for name, value in query.items() if value not in {None, ""}}
        return self.call("GET", path, query=wanted)[0]

    def items(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """Return every row of a list, page after page."""
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
    ) -> tuple[Any, Mapping[str, str]]:
        """Return (answer, headers).  Raises Told."""
        # Half of the command line's start-up time: paid only by what asks the API.
        import requests

        headers = {"Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            answer = requests.request(
                method,
                f"{self.url}{path}",
                json=body,
                params=query,
                headers=headers,
                timeout=TIMEOUT_S,
            )
        except requests.RequestException as exc:
            raise Told(
                f"cannot reach {self.url} ({type(exc).__name__})",
                "Start Sprout with: sprout up, or point SPROUT_API_URL to where it runs.",
            ) from exc
        if not answer.ok:
            raise _refusal(answer.status_code, answer.text)
        return (answer.json() if answer.content else None), answer.headers


def _refusal(status: int, text: str) -> Told:
    try:
        problem = json.loads(text)
        lines = [_fault(fault) for fault in problem.get("errors", ())]
        return Told(str(problem["detail"]), *lines, _access(status))
    except (ValueError, KeyError, TypeError, AttributeError):
        return Told(f"HTTP {status}: {text[:200]}", _access(status))


def _fault(fault: Mapping[str, str]) -> str:
    words = (fault.get("pointer", ""), fault.get("detail", ""), fault.get("hint", ""))
    return " ".join(word for word in words if word)


def _access(status: int) -> str:
    return "Set SPROUT_API_TOKEN, or run as the user who runs sprout up." if status == 401 else ""


def api() -> Api:
    """Return the API that the settings name; its token may lie in the data folder."""
    try:
        settings = Settings.load()
    except BadSettings as exc:
        raise Told(str(exc)) from exc
    token = settings.api_token.get_secret_value() or _kept_token(settings.data_dir)
    return Api(settings.api_url, token)


def _kept_token(folder: Path) -> str:
    """Return the token that `sprout up` made for itself, if it runs as this user."""
    try:
        kept = json.loads((folder / "secrets.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(kept.get("admin_token", ""))

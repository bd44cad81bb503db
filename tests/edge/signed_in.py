"""A browser without a screen: signed in, it follows no scripts and sends forms as they are."""

import re
from html import unescape

HTML = {"Accept": "text/html"}


class Browser:
    """A person with the admin's rights, or with *grants*, before the application."""

    def __init__(self, app, grants=(("admin", None),), name="admin"):
        self._client = app.test_client()
        with self._client.session_transaction() as session:
            session.update(
                operator=name, subject=name, grants=[list(g) for g in grants], csrf="right"
            )

    def get(self, path):
        return self._client.get(path, headers=HTML)

    def post(self, path, csrf="right", **form):
        """Send a form; a field's pointer is written with __ for each slash."""
        named = {name.replace("__", "/"): value for name, value in form.items()}
        return self._client.post(path, headers=HTML, data={"csrf_token": csrf, **named})


def text(answer):
    """Return what a person reads of a page, without its marks."""
    words = re.sub(r"<[^>]+>", " ", answer.get_data(as_text=True))
    return " ".join(unescape(words).split())

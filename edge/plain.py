"""Pages without a template: sign-in, and what a browser is told when something is refused."""

import re
from typing import Final

from flask import Response
from markupsafe import Markup, escape

_FRAME: Final = Markup(
    "<!doctype html>\n"
    '<html lang="en"><head><meta charset="utf-8"><title>{title} - Sprout</title>'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    '<link rel="icon" href="/static/sprout.svg" type="image/svg+xml">'
    '<meta name="color-scheme" content="light dark">'
    '<link rel="stylesheet" href="/static/sprout.css">'
    '<link rel="icon" href="/static/sprout.svg" type="image/svg+xml"></head>'
    '<body class="plain"><main><h1>{title}</h1>{body}</main></body></html>\n'
)


def page(title: str, *parts: str | Markup, status: int = 200) -> Response:
    """Return an HTML answer; each part that is no Markup becomes a paragraph, `code` in it code."""
    body = Markup("").join(map(_paragraph, parts))
    html = _FRAME.format(title=escape(title), body=body)
    return Response(html, status=status, mimetype="text/html")


def _paragraph(part: str | Markup) -> Markup:
    if isinstance(part, Markup):
        return part
    # Escaped first: what is found between the marks can hold no tag.
    marked = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(part)))
    return Markup("<p>{}</p>").format(Markup(marked))  # noqa: S704 - see above

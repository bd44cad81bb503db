"""Pages without a template: sign-in, and what a browser is told when something is refused."""

from flask import Response
from markupsafe import Markup, escape

_FRAME = Markup(
    "<!doctype html>\n"
    '<html lang="en"><head><meta charset="utf-8"><title>{title} - Sprout</title>'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    '<link rel="stylesheet" href="/static/sprout.css"></head>'
    '<body class="plain"><main><h1>{title}</h1>{body}</main></body></html>\n'
)


def page(title: str, *parts: str | Markup, status: int = 200) -> Response:
    """Return an HTML answer; each part that is no Markup becomes a paragraph."""
    body = Markup("").join(
        part if isinstance(part, Markup) else Markup("<p>{}</p>").format(part) for part in parts
    )
    html = _FRAME.format(title=escape(title), body=body)
    return Response(html, status=status, mimetype="text/html")

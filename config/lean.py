"""Keeps processes small: what structlog loads where it is installed, to draw traces, stays out.

Imported first by what is run as a process, before anything has imported structlog.
"""

import sys
from typing import Any, Final

_WITHOUT: Final = ("rich", "better_exceptions", "colorama")
"""5 MB in each process."""

_modules: dict[str, Any] = sys.modules
for _each in _WITHOUT:
    _modules.setdefault(_each, None)  # None there: importing it is an ImportError

"""Log lines as JSON, like the product's, at a fifth of what its logging library weighs here."""

import json
import logging
from datetime import UTC, datetime
from typing import Final, TextIO

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message"}


class JsonLines(logging.StreamHandler[TextIO]):
    """One object a line: timestamp, level, event, and what `extra` said."""

    def format(self, record: logging.LogRecord) -> str:
        facts = {key: value for key, value in vars(record).items() if key not in _STANDARD}
        line = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **facts,
        }
        if record.exc_info and record.exc_info[1]:
            line["error"] = repr(record.exc_info[1])
        return json.dumps(line, default=str)

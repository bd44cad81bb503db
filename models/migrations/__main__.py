"""`python -m models.migrations`: bring the database of SPROUT_DATABASE_URL to this version."""

import sys

from config.settings import Settings
from models import database
from models.migrations import runner

if __name__ == "__main__":
    database.configure(Settings.load().database_url.get_secret_value(), connections=2)
    applied = runner.migrate()
    sys.stderr.write(f"migrations: {', '.join(applied) if applied else 'up to date'}\n")

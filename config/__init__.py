"""What an operator may change without changing code.

settings   every SPROUT_* variable, read once by an entry point
logs       structlog through the standard library, with redaction
secrets    references (env:NAME, vault:PATH#KEY) and the value that has no repr
docs       keeps .env.example and the README's table equal to the settings
"""

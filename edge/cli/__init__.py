"""The `sprout` command: a client of the API, and the starter of every process."""

"""Real services for tests: each starts in a folder of its own, on free ports, stopped by pid."""

"""Pictures of every page, with a rack of machines in all states: `make screenshots`."""

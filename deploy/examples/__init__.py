"""Small programs beside Sprout: one that hears its events, one that commands it by message."""

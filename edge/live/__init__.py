"""The events process: connections that the edge passed on, and hints and events told to them."""

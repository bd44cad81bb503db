"""The API, the pages and the command line: what people and their tools speak to."""

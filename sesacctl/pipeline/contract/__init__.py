"""The format of the events for other producers: its JSON Schema, and a check of files."""

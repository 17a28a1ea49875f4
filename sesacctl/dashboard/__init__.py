"""The loop in a browser: looks shared by all browsers, a read-only page, and a recording as one file. Extra `web`."""

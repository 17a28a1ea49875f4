"""Redis: the cached users and products."""

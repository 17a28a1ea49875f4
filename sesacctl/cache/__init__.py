"""Redis: the readers and the atomic swap."""

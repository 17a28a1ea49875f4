"""The loop, a module a step, and its controls."""

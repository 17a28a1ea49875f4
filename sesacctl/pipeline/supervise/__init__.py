"""Keeping a number of consumer processes running."""

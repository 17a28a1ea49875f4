"""The schema: revisions, plans, adoption, drift, and what is in the way."""

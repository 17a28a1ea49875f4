"""Sample rows: made up, and stored in bulk."""

"""Settings as files and checks."""

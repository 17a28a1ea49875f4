"""Looking only: lag, health, the live screen, metrics."""

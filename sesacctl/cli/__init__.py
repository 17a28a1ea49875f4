"""The commands: the only room for Typer and Rich."""

"""`python -m sesacctl` is the same as the `sesacctl` command."""

from sesacctl.cli.app import main

main()

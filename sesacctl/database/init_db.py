"""`python -m sesacctl.database.init_db`: the tables of the configured `DB_TYPE`, at the newest revision."""

from __future__ import annotations

import sys

from sesacctl import log, settings
from sesacctl.database import schema
from sesacctl.errors import SesacctlError


def main() -> int:
    """Exit code as `sesacctl db init` would give."""
    log.configure()
    try:
        schema.upgrade(settings.load())
    except SesacctlError as error:
        sys.stderr.write(f"error: {log.printable(str(error))}\nnext:  {error.hint}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

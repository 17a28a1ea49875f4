"""Databases that are not in UTF8: they refuse rows that are good."""

from __future__ import annotations

from psycopg2.extensions import connection as RawConnection  # noqa: N812

# Those of the Korean standards: they have no emoji, and few foreign letters.
_KOREAN = ("EUC_KR", "UHC", "JOHAB")


def encoding_problem(connection: RawConnection) -> str | None:
    """What goes wrong with texts in this database; None for UTF8."""
    found = str(connection.get_parameter_status("server_encoding"))
    if found == "UTF8":
        return None
    name = f"database {connection.info.dbname} is in {found}, not in UTF8"
    if found == "SQL_ASCII":
        return f"{name}: lengths are counted in bytes, so that it refuses long Korean names, and it checks no text"
    missing = "such as emoji" if found in _KOREAN else "such as Korean ones"
    return f"{name}: it refuses each row with a character that {found} does not have, {missing}"

"""The table that each test's database has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest


@pytest.fixture(scope="session")
def postgres_prepare() -> Callable[[Any], None]:
    """Run once; every test gets a copy of what this makes."""

    async def make(database: Any) -> None:
        connection = await asyncpg.connect(**database.parameters)
        await connection.execute("CREATE TABLE payments (number integer PRIMARY KEY)")
        await connection.close()

    return lambda database: asyncio.run(make(database))

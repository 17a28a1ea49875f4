"""pytest-alembic's own tests on our migrations."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from alembic.config import Config
from pytest_alembic.tests import (
    test_model_definitions_match_ddl,
    test_single_head_revision,
    test_up_down_consistency,
    test_upgrade,
)
from sqlalchemy import Engine

from sesacctl.database import database
from sesacctl.database.schema import revisions
from sesacctl.settings import Settings

__all__ = [
    "test_model_definitions_match_ddl",
    "test_single_head_revision",
    "test_up_down_consistency",
    "test_upgrade",
]


@pytest.fixture
def alembic_config() -> Config:
    return revisions.config()


@pytest.fixture
def alembic_engine(settings: Settings) -> Iterator[Engine]:
    revisions.downgrade(settings, "base")
    engine = database.engine_for(settings, command="test")
    yield engine
    engine.dispose()

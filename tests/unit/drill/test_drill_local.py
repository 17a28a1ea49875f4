"""Settings that lead away from the local stack are refused, whatever names them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sesacctl import settings as settings_module
from sesacctl.drill import local
from sesacctl.errors import ConfigurationError, ServerUnreachable
from sesacctl.stack.layout import Layout

AGAIN = "sesacctl drill broker"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what `up` writes."""
    layout = Layout(tmp_path / ".sesac")
    layout.create()
    layout.write_environment(
        {
            "DB_TYPE": "local",
            "POSTGRES_HOST": str(layout.own_socket_folder),
            "POSTGRES_PORT": "5432",
            "POSTGRES_USER": "postgres",
            "POSTGRES_DB": "sesac_db",
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": "27001",
            "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:27002,127.0.0.1:27003,127.0.0.1:27004",
        }
    )
    monkeypatch.setenv("SESAC_HOME", str(layout.home))
    return layout.home


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"REDIS_HOST": "localhost"},
        {"KAFKA_BOOTSTRAP_SERVERS": "localhost:27003"},
        {"POSTGRES_DB": "another", "REDIS_DB": "4", "KAFKA_TOPIC_PREFIX": "x-", "KAFKA_GROUP": "y"},
    ],
    ids=["nothing", "another name of this host", "one of the brokers", "a part of the stack"],
)
def test_the_stack_and_its_parts_are_taken(home: Path, monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    local.require(settings_module.load(), home, again=AGAIN)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("POSTGRES_HOST", "db.example.com"),
        ("POSTGRES_HOST", "localhost"),
        ("POSTGRES_PORT", "5433"),
        ("REDIS_HOST", "redis.example.com"),
        ("REDIS_PORT", "6379"),
        ("REDIS_URL", "redis://redis.example.com:6379/0"),
        ("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:27002,127.0.0.1:9092"),
        ("KAFKA_BOOTSTRAP_SERVERS", "kafka.example.com:27002"),
        ("DB_TYPE", "rds"),
        ("DB_TYPE", "supabase"),
    ],
)
@pytest.mark.parametrize("where", ["environment", ".env"])
def test_another_server_is_refused_with_the_variable(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, where: str
) -> None:
    if where == ".env":
        Path(".env").write_text(f"{name}={value}\n")
    else:
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as refused:
        local.require(settings_module.load(), home, again=AGAIN)
    assert f"{name} ({where})" in str(refused.value)
    assert refused.value.hint is not None
    assert refused.value.hint.endswith(f"then {AGAIN}")
    assert name in refused.value.hint
    assert value not in str(refused.value), "a value may be a secret"


def test_without_a_stack_there_is_nothing_to_drill(tmp_path: Path) -> None:
    with pytest.raises(ServerUnreachable, match="no local stack runs") as refused:
        local.require(settings_module.load(), tmp_path / "nothing", again=AGAIN)
    assert refused.value.hint == "sesacctl up"

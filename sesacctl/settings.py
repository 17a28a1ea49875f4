"""All settings, loaded once: flag > environment > `.env` > running local stack > default."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, DotEnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from sesacctl.errors import ConfigurationError

ENV_FILE = Path(".env")
DEFAULT_HOME = Path(".sesac")
STACK_ENV = "stack.env"
_ENCODING = "utf-8-sig"


class DbType(StrEnum):
    """Which PostgreSQL the pipeline talks to."""

    LOCAL = "local"
    SUPABASE = "supabase"
    RDS = "rds"


class Settings(BaseSettings):
    """One frozen object, passed down; every field is the environment variable of the same name in capitals.

    Raises `pydantic.ValidationError` on bad values: call `load`, which names the variable and hides the value.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, env_file_encoding=_ENCODING, hide_input_in_errors=True
    )

    db_type: DbType = Field(DbType.LOCAL, description="`local`, `supabase` or `rds`")
    postgres_user: str = Field("postgres", description="local: user")
    postgres_password: SecretStr = Field(SecretStr(""), description="local: password")
    postgres_db: str = Field("sesac_db", description="local: database")
    postgres_host: str = Field("localhost", description="local: host, or the folder of a Unix socket")
    postgres_port: int = Field(5432, ge=1, le=65535, description="local: port")
    supabase_direct_url: SecretStr | None = Field(None, description="supabase: URL, may hold `[YOUR-PASSWORD]`")
    supabase_password: SecretStr | None = Field(None, description="supabase: takes the place of `[YOUR-PASSWORD]`")
    rds_user: str | None = Field(None, description="rds: user")
    rds_password: SecretStr | None = Field(None, description="rds: password")
    rds_host: str | None = Field(None, description="rds: endpoint")
    rds_port: int = Field(5432, ge=1, le=65535, description="rds: port")
    rds_db: str | None = Field(None, description="rds: database")
    rds_sslrootcert: Path | None = Field(None, description="rds: CA bundle; with it the host name is verified")

    redis_url: SecretStr | None = Field(None, description="`redis://` or `rediss://` URL; takes the place of the parts")
    redis_host: str = Field("localhost", description="Redis or Valkey host")
    redis_port: int = Field(6379, ge=1, le=65535, description="Redis port")
    redis_username: str | None = Field(None, description="Redis ACL user")
    redis_password: SecretStr | None = Field(None, description="Redis password")
    redis_db: int = Field(0, ge=0, description="Redis database number")

    kafka_bootstrap_servers: str = Field(
        "localhost:9092,localhost:9093,localhost:9094", description="Kafka brokers, `host:port` with commas between"
    )
    kafka_security_protocol: str = Field(
        "PLAINTEXT", pattern="^(PLAINTEXT|SSL|SASL_PLAINTEXT|SASL_SSL)$", description="Kafka security protocol"
    )
    kafka_sasl_mechanism: str | None = Field(
        None, pattern="^(PLAIN|SCRAM-SHA-256|SCRAM-SHA-512)$", description="`PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`"
    )
    kafka_sasl_username: str | None = Field(None, description="Kafka user")
    kafka_sasl_password: SecretStr | None = Field(None, description="Kafka password")
    kafka_ssl_cafile: Path | None = Field(None, description="CA that signed the brokers' certificates")
    kafka_topic_prefix: str = Field("", pattern=r"^[a-zA-Z0-9._-]*$", description="put before every topic's name")
    kafka_group: str = Field("sesacctl", min_length=1, description="consumer group")

    sesac_home: Path = Field(DEFAULT_HOME, description="state, logs and data of the local stack")
    sesac_log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="log level")
    sesac_log_format: str = Field("text", pattern="^(text|json)$", description="`text` or `json`, on stderr")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The order that the user was promised."""
        return init_settings, env_settings, *(_file(settings_cls, path) for path in (ENV_FILE, _stack_env()))

    @property
    def brokers(self) -> list[str]:
        """Bootstrap servers as `host:port`."""
        return [server.strip() for server in self.kafka_bootstrap_servers.split(",") if server.strip()]

    def topic(self, name: str) -> str:
        """The topic's name on the brokers."""
        return self.kafka_topic_prefix + name


def _file(settings_cls: type[BaseSettings], path: Path) -> DotEnvSettingsSource:
    return DotEnvSettingsSource(settings_cls, env_file=path, env_file_encoding=_ENCODING)


def home() -> Path:
    """The stack's folder, absolute: `SESAC_HOME` from the environment or `.env`, else `.sesac` here."""
    value = os.environ.get("SESAC_HOME") or dotenv_values(ENV_FILE, encoding=_ENCODING).get("SESAC_HOME")
    return Path(value or DEFAULT_HOME).expanduser().absolute()


def _stack_env() -> Path:
    return home() / STACK_ENV


def load(**flags: Any) -> Settings:
    """Settings from all sources; a flag that is None was not given.

    Raises:
        ConfigurationError: a value is wrong; names the variable, never the value.
    """
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        problems = "; ".join(
            f"{str(problem['loc'][0]).upper()}: {problem['msg']}" for problem in error.errors(include_url=False)
        )
        raise ConfigurationError(problems) from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{ENV_FILE} is not UTF-8 text") from None

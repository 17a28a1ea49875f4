"""All settings, loaded once: flag > environment > `.env` > running local stack > default."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, tzinfo
from enum import StrEnum
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from dotenv.parser import Original, parse_stream
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from sesacctl.errors import ConfigurationError
from sesacctl.home import DEFAULT_HOME, ENCODING, ENV_FILE, emptied, expanded, home, read_env_file, unreadable, unusable
from sesacctl.wording import plain

__all__ = ["DEFAULT_HOME", "ENV_FILE", "DbType", "Settings", "Variable", "explain", "home", "load"]

STACK_ENV = "stack.env"
MASK = "********"
# As people separate addresses when it is not by a comma: also that of a Korean keyboard.
_WRONG_SEPARATOR = re.compile(r"[;|\uff0c\uff1b\u3001]|(?<=[^\s,])\s+(?=[^\s,])")
_BROKER = r"(?:\[[0-9a-fA-F:.]+\]|[^\s,\[\]]+):\d+"
_LAST_PORT = 65535

_OF_SERVERS = ("db_", "postgres_", "supabase_", "rds_", "redis_", "kafka_")
_NOT_OF_SERVERS = frozenset({"kafka_topic_prefix", "kafka_group", "postgres_schema", "redis_db"})
# What a pattern says that is not a choice of words.
_PATTERNS = {
    "kafka_topic_prefix": "it should be letters, digits, '.', '_' and '-'",
    "sesac_metrics_host": "it should be an address or a host name, without spaces",
    "sesac_member": "it should be letters, digits, '.', '_' and '-', at most 200",
    "sesac_wait": "it should be a duration such as 30s, 10m or 2h, or empty",
    "sesac_maven_mirror": "it should be an http:// or https:// address, without ? and #",
}

# The second is where `db init` makes each revision's tables for a moment.
_RESERVED_SCHEMAS = ("information_schema", "sesacctl_adoption")


class DbType(StrEnum):
    """Which PostgreSQL the pipeline talks to."""

    LOCAL = "local"
    SUPABASE = "supabase"
    RDS = "rds"


class Settings(BaseSettings):
    """One frozen object, passed down; every field is the environment variable of the same name in capitals.

    Bad values are a `pydantic.ValidationError`: call `load`, which names the variable and hides the value.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, env_file_encoding=ENCODING, hide_input_in_errors=True
    )

    db_type: DbType = Field(DbType.LOCAL, description="`local`, `supabase` or `rds`")
    postgres_user: str = Field("postgres", description="local: user")
    postgres_password: SecretStr = Field(SecretStr(""), description="local: password")
    postgres_db: str = Field("sesac_db", description="local: database")
    postgres_host: str = Field("localhost", description="local: host, or the folder of a Unix socket")
    postgres_port: int = Field(5432, ge=1, le=65535, description="local: port")
    supabase_direct_url: SecretStr | None = Field(None, description="supabase: URL, may hold `[YOUR-PASSWORD]`")
    supabase_password: SecretStr | None = Field(None, description="supabase: takes the place of `[YOUR-PASSWORD]`")
    postgres_schema: str | None = Field(
        None, description="all: schema of sesacctl's tables; empty: the first of `search_path`, normally `public`"
    )
    supabase_sslrootcert: Path | None = Field(
        None, description="supabase: CA file, or `system`; with it the host name is verified"
    )
    rds_user: str | None = Field(None, description="rds: user")
    rds_password: SecretStr | None = Field(None, description="rds: password")
    rds_host: str | None = Field(None, description="rds: endpoint")
    rds_port: int = Field(5432, ge=1, le=65535, description="rds: port")
    rds_db: str | None = Field(None, description="rds: database")
    rds_sslrootcert: Path | None = Field(
        None, description="rds: CA file, or `system`; with it the host name is verified"
    )

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
        None,
        pattern="^(PLAIN|SCRAM-SHA-256|SCRAM-SHA-512|OAUTHBEARER)$",
        description="`PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512` or `OAUTHBEARER`",
    )
    kafka_sasl_username: str | None = Field(None, description="Kafka user")
    kafka_sasl_password: SecretStr | None = Field(None, description="Kafka password")
    kafka_oauth_token_provider: str | None = Field(
        None,
        description="OAUTHBEARER: `package.module:function` that returns a token, or `msk` for Amazon MSK with IAM",
    )
    kafka_msk_region: str | None = Field(None, description="`msk`: AWS region; without it, that of AWS's own settings")
    kafka_ssl_cafile: Path | None = Field(None, description="CA that signed the brokers' certificates, PEM")
    kafka_ssl_certfile: Path | None = Field(None, description="client certificate, PEM, if the brokers require one")
    kafka_ssl_keyfile: Path | None = Field(None, description="its key, PEM, if that is in another file")
    kafka_ssl_password: SecretStr | None = Field(None, description="password of that key")
    kafka_topic_prefix: str = Field("", pattern=r"^[a-zA-Z0-9._-]*$", description="put before every topic's name")
    kafka_group: str = Field("sesacctl", min_length=1, description="consumer group")

    sesac_home: Path = Field(DEFAULT_HOME, description="state, logs and data of the local stack")
    sesac_event_timezone: str = Field(
        "UTC", description="time zone of event times that have none, such as `Asia/Seoul`"
    )
    sesac_metrics_host: str = Field(  # an empty one would be every address
        "127.0.0.1", pattern=r"^\S+$", description="address that `--metrics-port` listens on"
    )
    sesac_member: str | None = Field(
        None,
        pattern=r"^[a-zA-Z0-9._-]{1,200}$",
        description="name of this host's consumers, such as the pod's; empty: a UUID kept in `SESAC_HOME`",
    )
    sesac_wait: str = Field(
        "",
        pattern=r"^([1-9]\d{0,5}[smh]?)?$",
        description="how long loops wait at their start, such as `10m`, as `--wait --timeout` does; empty: not at all",
    )
    sesac_maven_mirror: str = Field(
        "",
        pattern=r"^(https?://[^\s?#]+)?$",
        description="mirror of Maven Central for Kafka's jars, as an address; empty: Maven Central itself",
    )
    sesac_log_level: str = Field(
        "info", pattern="^(debug|info|warning|error)$", description="`debug`, `info`, `warning` or `error`"
    )
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
        """Flag > environment > `.env` > local stack > default."""
        return init_settings, env_settings, *(_file(path) for path in _FILES.values())

    @field_validator("*", mode="before")
    @classmethod
    def _is_usable(cls, value: object) -> object:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if isinstance(text, str | Path) and (reason := unusable(str(text))):
            raise ValueError(reason)
        return value

    @field_validator("*")
    @classmethod
    def _is_a_path(cls, value: object) -> object:
        return expanded(value) if isinstance(value, Path) else value

    @field_validator("kafka_bootstrap_servers")
    @classmethod
    def _are_addresses(cls, value: str) -> str:
        if _WRONG_SEPARATOR.search(value):
            raise ValueError("separate the brokers by commas, as in host:port,host:port")
        if not re.fullmatch(rf"\s*{_BROKER}\s*(,\s*{_BROKER}\s*)*,?\s*", value, re.ASCII):
            raise ValueError("it should be host:port, or several with commas between")
        if any(not 1 <= int(port) <= _LAST_PORT for port in re.findall(r":(\d+)\s*(?:,|$)", value, re.ASCII)):
            raise ValueError(f"a port is a number from 1 to {_LAST_PORT}")
        return value

    @field_validator("postgres_schema")
    @classmethod
    def _is_a_schema(cls, value: str | None) -> str | None:
        if value is None:
            return None
        # Lower case only: SQL without quotes would mean another one.
        if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", value, re.ASCII):
            raise ValueError("it should be lower-case letters, digits and _, at most 63, beginning with no digit")
        if value.startswith("pg_") or value in _RESERVED_SCHEMAS:
            raise ValueError("this schema is not for tables")
        return value

    @field_validator("sesac_event_timezone")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ValueError("it should be the name of a time zone, such as UTC or Asia/Seoul") from None
        return value

    @field_validator("sesac_maven_mirror")
    @classmethod
    def _holds_no_password(cls, value: str) -> str:
        # It would be in the error of a download that fails.
        if "@" in value.partition("//")[2].partition("/")[0]:
            raise ValueError("it should hold no user or password: put them into ~/.netrc")
        return value

    @property
    def event_timezone(self) -> tzinfo:
        """The time zone of event times that have none."""
        return UTC if self.sesac_event_timezone == "UTC" else ZoneInfo(self.sesac_event_timezone)

    @field_validator("kafka_oauth_token_provider")
    @classmethod
    def _is_function(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"msk|\w+(\.\w+)*:\w+(\.\w+)*", value):
            raise ValueError("it should be package.module:function, or msk")
        return value

    @property
    def brokers(self) -> list[str]:
        """Bootstrap servers as `host:port`."""
        return [server.strip() for server in self.kafka_bootstrap_servers.split(",") if server.strip()]

    def topic(self, name: str) -> str:
        """The topic's name on the brokers."""
        return self.kafka_topic_prefix + name

    @property
    def is_guess(self) -> bool:
        """Whether nothing names the servers: no flag, variable, `.env` or running local stack; then it is localhost."""
        return not any(name.startswith(_OF_SERVERS) for name in self.model_fields_set - _NOT_OF_SERVERS) and not (
            ENV_FILE.is_file()
        )

    def follows_stack(self, *names: str) -> bool:
        """Whether these come from the running local stack, or from nowhere: then `sesacctl up` is what brings them."""
        given = {name: getattr(self, name) for name in names if name in self.model_fields_set}
        stack: dict[str, Any] = {}
        with suppress(OSError, UnicodeDecodeError, ConfigurationError):
            stack = _file(_FILES["local stack"])() if given else {}
        return all(name in stack and str(value) == str(stack[name]) for name, value in given.items())


# Where a file's values come from, as it is shown.
_FILES: dict[str, Callable[[], Path]] = {".env": lambda: ENV_FILE, "local stack": lambda: home() / STACK_ENV}


class _FileSource(DotEnvSettingsSource):
    """A file's variables as they stand there, but for those that the environment has, empty."""

    def _read_env_file(self, file_path: Path) -> Mapping[str, str | None]:
        hidden = emptied()
        found = {name.lower(): value for name, value in read_env_file(file_path).items() if value}
        return {name: value for name, value in found.items() if name not in hidden}


def _file(path: Callable[[], Path]) -> DotEnvSettingsSource:
    return _FileSource(Settings, env_file=path())


def load(**flags: object) -> Settings:
    """Settings from all sources; a flag that is None was not given.

    Raises:
        ConfigurationError: a value is wrong; names the variable and where it came from, never the value.
    """
    given: dict[str, Any] = {name: value for name, value in flags.items() if value is not None}
    try:
        _require_readable()
        return Settings(**given)
    except ValidationError as error:
        origins = _origins() | dict.fromkeys(given, "flag")
        problems = (f"{name.upper()} ({origins[name]}): {text}" for name, text in _problems(error).items())
        raise ConfigurationError("; ".join(problems)) from None
    except (UnicodeDecodeError, OSError) as error:
        raise unreadable(error) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One setting: its value (None: not set; a secret is masked), and where it came from."""

    variable: str
    value: str | None
    origin: str
    problem: str | None
    description: str


def explain() -> list[Variable]:
    """Every setting and where it came from: `environment`, `.env`, `local stack` or `default`; also of wrong ones.

    Raises:
        ConfigurationError: a file cannot be read, or a line of it is not `NAME=value`.
    """
    try:
        _require_readable()
        given, origins = _given(), _origins()
    except (UnicodeDecodeError, OSError) as error:
        raise unreadable(error) from None
    problems: dict[str, str] = {}
    try:
        Settings()
    except ValidationError as error:
        problems = _problems(error)
    return [
        Variable(
            variable=name.upper(),
            value=_shown(field, given.get(name, field.default)),
            origin=origins[name],
            problem=problems.get(name),
            description=field.description or "",
        )
        for name, field in Settings.model_fields.items()
    ]


def _shown(field: FieldInfo, value: object) -> str | None:
    text = value.get_secret_value() if isinstance(value, SecretStr) else "" if value is None else str(value)
    return (MASK if is_secret(field) else text) if text else None


def is_secret(field: FieldInfo) -> bool:
    """Whether the field's value is secret."""
    return "SecretStr" in str(field.annotation)


def _sources() -> dict[str, dict[str, Any]]:
    """What each source has, the strongest first."""
    sources = {"environment": EnvSettingsSource(Settings)()}
    return sources | {name: _file(path)() for name, path in _FILES.items()}


def _given() -> dict[str, Any]:
    return {name: value for source in reversed(_sources().values()) for name, value in source.items()}


def _origins() -> dict[str, str]:
    found = {name: origin for origin, source in reversed(_sources().items()) for name in source}
    found |= dict.fromkeys(emptied(), "environment")
    return {name: found.get(name, "default") for name in Settings.model_fields}


def _problems(error: ValidationError) -> dict[str, str]:
    found = {str(each["loc"][0]): each["msg"] for each in error.errors(include_url=False, include_input=False)}
    return {name: plain(_PATTERNS.get(name, text) if "pattern" in text else text) for name, text in found.items()}


def bad_lines(path: Path) -> list[int]:
    """Numbers of the lines that are not `NAME=value`, such as those with a quote that is not closed."""
    if not path.is_file():
        return []
    bindings = parse_stream(io.StringIO(path.read_text(encoding=ENCODING)))
    return [_line(binding.original) for binding in bindings if binding.error]


def _line(original: Original) -> int:
    """dotenv counts the empty lines before it to a statement."""
    blank = original.string[: len(original.string) - len(original.string.lstrip())]
    return original.line + blank.count("\n")


def _require_readable() -> None:
    # dotenv would leave such a line out: a password with a stray quote would be no password.
    if lines := bad_lines(ENV_FILE):
        raise ConfigurationError(
            f"{ENV_FILE}: line {', '.join(map(str, lines))} is not NAME=value", hint="sesacctl config check"
        )

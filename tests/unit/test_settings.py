"""Settings: each step of the precedence, `.env` files as people write them, and errors that show no value."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import hypothesis
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sesacctl import files, settings
from sesacctl.cli import live
from sesacctl.config import check as configuration
from sesacctl.config import env_file
from sesacctl.errors import ConfigurationError
from sesacctl.home import home
from sesacctl.settings import MASK, Settings, explain, load

CANARY = "c4nary-Wert"


@pytest.fixture(autouse=True)
def stack_env() -> Path:
    """`stack.env` of a running local stack in the current, empty folder."""
    path = Path(".sesac/stack.env")
    path.parent.mkdir()
    return path


def origin(name: str) -> str:
    [variable] = [each for each in explain() if each.variable == name]
    return variable.origin


def test_flag_over_environment_over_file_over_stack_over_default(
    stack_env: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (load().redis_host, origin("REDIS_HOST")) == ("localhost", "default")
    stack_env.write_text("REDIS_HOST='stack'\n")
    assert (load().redis_host, origin("REDIS_HOST")) == ("stack", "local stack")
    Path(".env").write_text("REDIS_HOST=file\n")
    assert (load().redis_host, origin("REDIS_HOST")) == ("file", ".env")
    monkeypatch.setenv("REDIS_HOST", "environment")
    assert (load().redis_host, origin("REDIS_HOST")) == ("environment", "environment")
    assert load(redis_host="flag").redis_host == "flag"
    assert load(redis_host=None).redis_host == "environment"


def test_every_variable_is_its_field_in_capitals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_TOPIC_PREFIX", "other-")
    monkeypatch.setenv("POSTGRES_PASSWORD", CANARY)
    loaded = load()
    assert loaded.topic("orders") == "other-orders"
    assert loaded.postgres_password.get_secret_value() == CANARY


def test_an_empty_environment_variable_wins_over_the_files(stack_env: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text(f"KAFKA_GROUP=file\nREDIS_PASSWORD={CANARY}\nredis_url=redis://h\nSESAC_HOME=there\n")
    stack_env.write_text("REDIS_HOST='stack'\n")
    for name in ("KAFKA_GROUP", "REDIS_PASSWORD", "Redis_Url", "REDIS_HOST", "SESAC_HOME"):
        monkeypatch.setenv(name, "")
    loaded = load()
    assert (loaded.kafka_group, loaded.redis_password, loaded.redis_url) == ("sesacctl", None, None)
    assert (loaded.redis_host, origin("REDIS_HOST")) == ("localhost", "environment")
    assert home() == Path.cwd() / ".sesac"
    assert load(kafka_group="flag").kafka_group == "flag"


def test_an_empty_variable_yields_to_its_other_spelling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_GROUP", "")
    monkeypatch.setenv("kafka_group", "own")
    assert load().kafka_group == "own"


def test_an_empty_value_in_a_file_is_ignored(stack_env: Path) -> None:
    Path(".env").write_text("REDIS_HOST=\n")
    stack_env.write_text("REDIS_HOST='stack'\n")
    assert load().redis_host == "stack"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"POSTGRES_DB=a\r\nPOSTGRES_USER=b\r\n", "a"),
        (b"\xef\xbb\xbfPOSTGRES_DB=a\n", "a"),
        (b"POSTGRES_DB='a b#c'\n", "a b#c"),
        (b'POSTGRES_DB="a b" # why\n', "a b"),
        (b"export POSTGRES_DB=a\n", "a"),
        (b"POSTGRES_DB=first\nPOSTGRES_DB=last\n", "last"),
        (b"  POSTGRES_DB = a\n\n# POSTGRES_DB=b\n", "a"),
        (b"postgres_db=a\n", "a"),
        ("POSTGRES_DB=데이터\n".encode(), "데이터"),
        (b"SOMETHING_ELSE=x\n", "sesac_db"),
    ],
    ids=[
        "CRLF",
        "BOM",
        "single quotes",
        "double quotes",
        "export",
        "twice",
        "spaces",
        "lower case",
        "Korean",
        "foreign",
    ],
)
def test_env_files_as_people_write_them(text: bytes, value: str) -> None:
    Path(".env").write_bytes(text)
    assert load().postgres_db == value


ODD = [
    "p@ss:w/rd",
    "a'b",
    'a"b',
    "#",
    "a #b",
    "=",
    "%41",
    "비밀 번호",
    "a$b",
    "${HOME}",
    "$HOME",
    "a${X:-y}b",
    "a\\b",
    "\\",
]


@pytest.mark.parametrize("password", ODD)
@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_password_of_any_characters(password: str, quote: str) -> None:
    written = password.replace("\\", "\\\\").replace(quote, f"\\{quote}")
    Path(".env").write_text(f"REDIS_PASSWORD={quote}{written}{quote}\n", encoding="utf-8")
    found = load().redis_password
    assert found is not None
    assert found.get_secret_value() == password


@pytest.mark.parametrize("name", ["POSTGRES_PASSWORD", "SUPABASE_PASSWORD", "REDIS_URL", "KAFKA_SASL_PASSWORD"])
def test_a_dollar_in_a_file_is_a_dollar(name: str, stack_env: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORD", "other")
    for path in (stack_env, Path(".env")):
        path.write_text(f"{name}=a${{WORD}}b$WORD\n")
        value = getattr(load(), name.lower())
        assert value.get_secret_value() == "a${WORD}b$WORD"
    Path(".env").write_text("SESAC_HOME=$WORD/${WORD}\n")
    assert home() == load().sesac_home.absolute() == Path.cwd() / "$WORD" / "${WORD}"


@pytest.mark.parametrize("password", ODD)
def test_what_config_init_writes_is_read_back(password: str) -> None:
    Path(".env").write_text(env_file.template({"postgres_password": password}), encoding="utf-8")
    assert load().postgres_password.get_secret_value() == password


@pytest.mark.parametrize(
    ("text", "lines"), [('POSTGRES_PASSWORD="abc\nREDIS_DB=1\n', "1"), ("REDIS_DB=1\n\nnot a setting\n", "3")]
)
def test_a_line_that_would_be_left_out_is_an_error(text: str, lines: str) -> None:
    Path(".env").write_text(text)
    with pytest.raises(ConfigurationError, match=f"line {lines} is not NAME=value"):
        load()
    with pytest.raises(ConfigurationError, match=f"line {lines} is not NAME=value"):
        explain()


def test_a_setting_file_that_is_not_utf8_is_refused() -> None:
    Path(".env").write_bytes("POSTGRES_DB=데이터\n".encode("euc-kr"))
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        load()


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
@hypothesis.settings(max_examples=150, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@example(b"SESAC_HOME=~nobody-of-that-name/x\n")
@example(b"SESAC_HOME=a\0b\n")
@example(b"KAFKA_SSL_CAFILE=" + b"n" * 300 + b"\n")
@example(b"POSTGRES_PASSWORD=" + b"x" * 5_000 + b"\n")
def test_any_file_is_read_or_refused(content: bytes) -> None:
    Path(".env").write_bytes(content)
    for ask in (home, load, explain, configuration.check):
        with suppress(ConfigurationError):
            ask()


def test_a_pipe_into_which_nobody_writes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_PIPE_SECONDS", 0)
    os.mkfifo(".env")
    with pytest.raises(ConfigurationError, match="Nobody writes into this pipe"):
        load()


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_only_a_file_is_replaced(kind: str) -> None:
    (os.mkfifo if kind == "pipe" else os.mkdir)("there")
    Path(".env").symlink_to("there")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        env_file.write(Path(".env"))
    assert Path(".env").is_fifo() is (kind == "pipe")


def test_a_folder_in_place_of_the_file_is_ignored() -> None:
    Path(".env").mkdir()
    assert load().postgres_db == "sesac_db"


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("DB_TYPE", "oracle", "local, supabase or rds"),
        ("REDIS_PORT", "70000", "at most 65,535"),
        ("REDIS_DB", CANARY, "a whole number"),
        ("KAFKA_BOOTSTRAP_SERVERS", "broker", "host:port"),
        ("KAFKA_SECURITY_PROTOCOL", "TLS", "PLAINTEXT"),
        ("KAFKA_TOPIC_PREFIX", "a b", "letters, digits, '.', '_' and '-'"),
        ("SESAC_LOG_LEVEL", "loud", "debug, info, warning or error"),
    ],
)
def test_a_wrong_value_is_named_with_its_origin_and_not_shown(name: str, value: str, problem: str) -> None:
    Path(".env").write_text(f"{name}='{value}'\nPOSTGRES_PASSWORD={CANARY}\n")
    with pytest.raises(ConfigurationError) as caught:
        load()
    message = str(caught.value)
    assert message.startswith(f"{name} (.env): ")
    assert problem in message
    assert CANARY not in message
    assert caught.value.exit_code == 3


def test_a_wrong_flag_is_called_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_DB", "x")
    with pytest.raises(ConfigurationError, match=r"REDIS_DB \(environment\).*KAFKA_GROUP \(flag\)"):
        load(kafka_group="")
    monkeypatch.delenv("REDIS_DB")
    with pytest.raises(ConfigurationError, match=r"SESAC_METRICS_HOST \(flag\)"):  # it would be every address
        load(sesac_metrics_host="")


@pytest.mark.parametrize(
    "servers",
    ["a:1;b:2", "a:1; b:2", "a:1 b:2", "a:1\tb:2", "a:1,b:2;c:3", "a:1|b:2", "a:1\uff0cb:2", "a:1\u3001b:2", ";"],
)
def test_a_wrong_separator_is_named_by_the_right_one(servers: str) -> None:
    Path(".env").write_text(f'KAFKA_BOOTSTRAP_SERVERS="{servers}"\n', encoding="utf-8")
    with pytest.raises(
        ConfigurationError, match=r"KAFKA_BOOTSTRAP_SERVERS \(\.env\): .*by commas, as in host:port,host:port"
    ):
        load()


@pytest.mark.parametrize("servers", ["a:1", " a:1 , b:2,", "[::1]:9092", "127.0.0.1:9092,127.0.0.1:9093"])
def test_brokers(servers: str) -> None:
    assert load(kafka_bootstrap_servers=servers).brokers == [
        each.strip() for each in servers.split(",") if each.strip()
    ]


def test_explain_masks_secrets_and_shows_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", f"redis://:{CANARY}@h:1/0")
    monkeypatch.setenv("REDIS_PORT", "x")
    found = {each.variable: each for each in explain()}
    assert found["REDIS_URL"].value == MASK
    assert found["REDIS_PASSWORD"].value is None
    assert (found["REDIS_PORT"].value, found["REDIS_PORT"].problem is not None) == ("x", True)
    assert CANARY not in str(found)


def test_all_secrets_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        if "password" in name or name.endswith("_url"):
            monkeypatch.setenv(name.upper(), CANARY)
    assert CANARY not in str(explain())
    assert CANARY not in repr(load())


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        setattr(load(), "redis_db", 3)  # noqa: B010 -- mypy knows that it cannot be set


@pytest.mark.parametrize("text", ["sesac_home={}\n", "SESAC_HOME=x\nSesac_Home={}\n", "SESAC_HOME={}\nsesac_home=\n"])
@pytest.mark.parametrize("in_the_environment", [False, True])
def test_home_is_read_as_the_settings_read_it(
    text: str, in_the_environment: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = text.format(Path.cwd() / "there")
    if in_the_environment:
        for line in lines.splitlines():
            monkeypatch.setenv(*line.split("="))
    else:
        Path(".env").write_text(lines)
    assert home() == load().sesac_home == Path.cwd() / "there"


def test_an_unreadable_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    Path(".env").write_bytes(b"POSTGRES_PASSWORD=\xb0\xa1\n")
    for ask in (home, load, explain):
        with pytest.raises(ConfigurationError, match=r"^\.env is not UTF-8 text$"):
            ask()
    with pytest.raises(SystemExit) as caught:
        live.main()
    assert caught.value.code == 3
    assert "error: .env is not UTF-8 text" in capsys.readouterr().err


def test_home_is_found_without_all_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert home() == Path.cwd() / ".sesac"
    Path(".env").write_text("SESAC_HOME=from-file\n")
    assert home() == Path.cwd() / "from-file" == settings.home()
    monkeypatch.setenv("SESAC_HOME", "~/x")
    assert home() == Path.home() / "x"


@pytest.mark.parametrize("value", ["https://mirror.example/maven2", "http://10.0.0.1:8081/repository/central/", ""])
def test_a_mirror_of_maven_is_an_address(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESAC_MAVEN_MIRROR", value)
    assert load().sesac_maven_mirror == value


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("mirror.example/maven2", "http:// or https://"),
        ("file:///srv/jars", "http:// or https://"),
        ("https://mirror.example/a b", "http:// or https://"),
        ("https://mirror.example/?q=1", "http:// or https://"),
        (f"https://shop:{CANARY}@mirror.example/maven2", "netrc"),
        (f"http://{CANARY}@mirror.example", "netrc"),
    ],
)
def test_another_mirror_is_refused_without_its_value(value: str, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESAC_MAVEN_MIRROR", value)
    with pytest.raises(ConfigurationError, match=problem) as caught:
        load()
    assert CANARY not in str(caught.value)

"""Certificates and token providers for Kafka: what is wrong with them is said before any connection is made."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sesacctl import installation
from sesacctl import settings as settings_module
from sesacctl.broker.oauth import NoToken, TokenProviderFailed, token_provider
from sesacctl.broker.security import security_options, tls_context
from sesacctl.errors import ConfigurationError
from sesacctl.settings import Settings
from tests.helpers import tokens
from tests.helpers.secure_broker import authority, certificate

PASSWORD = "geheim"
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="Debian's package openssl is missing")


def of(**values: Any) -> Settings:
    return settings_module.load(kafka_security_protocol="SSL", **values)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    authority(folder, "ca")
    certificate(folder, "mine")
    certificate(folder, "locked", password=PASSWORD)
    (folder / "both.pem").write_text((folder / "locked.key").read_text() + (folder / "locked.pem").read_text())
    (folder / "store.jks").write_bytes(b"\xfe\xed\xfe\xed\x00\x00\x00\x02")
    (folder / "empty.pem").write_text("-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n")
    return folder


@needs_openssl
@pytest.mark.parametrize(
    ("given", "password"),
    [
        ({"certfile": "mine.pem", "keyfile": "mine.key"}, None),
        ({"certfile": "locked.pem", "keyfile": "locked.key"}, PASSWORD),
        ({"certfile": "both.pem"}, PASSWORD),
        ({"certfile": "mine.pem", "keyfile": "mine.key"}, PASSWORD),
    ],
    ids=["key without a password", "with one", "in one file", "password that is not needed"],
)
def test_certificates_are_loaded(files: Path, given: dict[str, str], password: str | None) -> None:
    values: dict[str, Any] = {f"kafka_ssl_{name}": files / file for name, file in given.items()}
    context = tls_context(of(**values, kafka_ssl_cafile=files / "ca.pem", kafka_ssl_password=password))
    assert context.cert_store_stats()["x509_ca"] == 1


@needs_openssl
@pytest.mark.parametrize(
    ("given", "password", "complaint"),
    [
        ({"certfile": "none.pem"}, None, r"KAFKA_SSL_CERTFILE: .*none\.pem is not a file"),
        ({"certfile": "mine.pem", "keyfile": "none.key"}, None, r"KAFKA_SSL_KEYFILE: .*none\.key is not a file"),
        ({"keyfile": "mine.key"}, None, "KAFKA_SSL_KEYFILE needs KAFKA_SSL_CERTFILE"),
        ({"certfile": "mine.pem"}, None, "must hold a certificate and, without KAFKA_SSL_KEYFILE, its key"),
        ({"certfile": "mine.pem", "keyfile": "locked.key"}, PASSWORD, "the key is not that of the certificate"),
        ({"certfile": "locked.pem", "keyfile": "locked.key"}, None, "the key is encrypted, set KAFKA_SSL_PASSWORD"),
        ({"certfile": "locked.pem", "keyfile": "locked.key"}, "guess", "KAFKA_SSL_PASSWORD does not open it"),
        ({"certfile": "both.pem"}, "guess", "KAFKA_SSL_CERTFILE: .*KAFKA_SSL_PASSWORD does not open it"),
        ({"certfile": "mine.key", "keyfile": "mine.pem"}, None, "must hold a certificate, and KAFKA_SSL_KEYFILE"),
        ({"certfile": "store.jks"}, None, r"KAFKA_SSL_CERTFILE: .*store\.jks is not PEM"),
        ({"cafile": "store.jks"}, None, r"KAFKA_SSL_CAFILE: .*store\.jks is not PEM"),
        ({"cafile": "empty.pem"}, None, r"KAFKA_SSL_CAFILE: .*empty\.pem has no certificate in it"),
    ],
)
def test_certificate_errors_are_named(files: Path, given: dict[str, str], password: str | None, complaint: str) -> None:
    values: dict[str, Any] = {f"kafka_ssl_{name}": files / file for name, file in given.items()}
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        security_options(of(**values, kafka_ssl_password=password))
    assert "guess" not in str(caught.value)


@needs_openssl
def test_a_file_that_may_not_be_read_is_named(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_self: Path) -> bytes:  # the tests may run as root, who may read everything
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ConfigurationError, match=r"KAFKA_SSL_CERTFILE: .*mine\.pem cannot be read: Permission denied"):
        security_options(of(kafka_ssl_certfile=files / "mine.pem"))


def oauth(provider: str | None, **values: Any) -> Settings:
    return settings_module.load(
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_mechanism="OAUTHBEARER",
        kafka_oauth_token_provider=provider,
        **values,
    )


def test_each_connection_gets_a_token_of_its_own() -> None:
    options = security_options(oauth("tests.helpers.tokens:good"))
    provider = options["sasl_oauth_token_provider"]
    first = provider.token()
    assert first.count(".") == 2
    assert provider.token() != first
    assert "sasl_plain_username" not in options


@pytest.mark.parametrize(
    ("provider", "complaint"),
    [
        (None, "OAUTHBEARER needs KAFKA_OAUTH_TOKEN_PROVIDER"),
        ("no.such.module:token", "no.such.module:token cannot be loaded: ModuleNotFoundError"),
        ("tests.helpers.tokens:missing", "tests.helpers.tokens:missing cannot be loaded: AttributeError"),
        ("tests.helpers.tokens:NOT_A_FUNCTION", "is not a function but int"),
        ("tests.helpers.tokens", r"it should be package\.module:function, or msk"),
    ],
)
def test_a_token_provider_must_be_a_function(provider: str | None, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        token_provider(oauth(provider))


def test_a_failing_token_provider_is_named_without_its_result() -> None:
    with pytest.raises(
        TokenProviderFailed, match=r"tests\.helpers\.tokens:raises failed: LookupError: there are no credentials"
    ):
        token_provider(oauth("tests.helpers.tokens:raises")).token()
    with pytest.raises(NoToken, match=r"tests\.helpers\.tokens:nothing returned NoneType"):
        token_provider(oauth("tests.helpers.tokens:nothing")).token()
    with pytest.raises(NoToken) as caught:
        token_provider(oauth("tests.helpers.tokens:number")).token()
    assert tokens.SECRET not in str(caught.value)


_SIGNER = """
calls = []
def generate_auth_token(region):
    calls.append(region)
    return f"{region}-{len(calls)}", EXPIRES_MS
"""
_SESSION = """
import os
class Session:
    def get_config_variable(self, name): return os.environ.get("AWS_DEFAULT_REGION")
    def get_credentials(self): return os.environ.get("AWS_ACCESS_KEY_ID")
"""


@pytest.fixture
def signer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """In the place of the packages of the extra `msk`, which the tests do without."""
    for package, module, text in (
        ("aws_msk_iam_sasl_signer", "MSKAuthTokenProvider", _SIGNER), ("botocore", "session", _SESSION)
    ):  # fmt: skip
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
        (tmp_path / package / f"{module}.py").write_text(text)
        for name in (package, f"{package}.{module}"):
            monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    from aws_msk_iam_sasl_signer import MSKAuthTokenProvider

    yield MSKAuthTokenProvider
    for name in [name for name in sys.modules if name.split(".")[0] in ("aws_msk_iam_sasl_signer", "botocore")]:
        del sys.modules[name]


def test_msk_signs_again_only_shortly_before_a_token_expires(signer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    signer.EXPIRES_MS = (time.time() + 900) * 1000
    provider = token_provider(oauth("msk", kafka_msk_region="eu-west-1"))
    assert [provider.token(), provider.token()] == ["eu-west-1-1", "eu-west-1-1"]
    late = time.time() + 700
    monkeypatch.setattr(time, "time", lambda: late)
    assert provider.token() == "eu-west-1-2"


def test_msk_takes_the_region_of_aws_and_says_what_is_missing(signer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    signer.EXPIRES_MS = (time.time() + 900) * 1000
    with pytest.raises(ConfigurationError, match="set KAFKA_MSK_REGION or AWS_REGION"):
        token_provider(oauth("msk"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    assert token_provider(oauth("msk")).token() == "us-east-1-1"
    monkeypatch.setenv("AWS_REGION", "ap-northeast-2")
    assert token_provider(oauth("msk")).token() == "ap-northeast-2-2"
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(TokenProviderFailed, match="no AWS credentials"):
        token_provider(oauth("msk")).token()


def test_msk_without_its_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aws_msk_iam_sasl_signer", None)
    with pytest.raises(ConfigurationError) as caught:
        token_provider(oauth("msk", kafka_msk_region="eu-west-1"))
    assert caught.value.hint == installation.command("msk")
    assert "(extra: msk)" in str(caught.value)

"""Tokens for SASL/OAUTHBEARER: from a function of the user's own, or for Amazon MSK from AWS's signer."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable
from typing import Any

from kafka.errors import KafkaConnectionError
from kafka.net.sasl.oauth import AbstractTokenProvider

from sesacctl import installation
from sesacctl.errors import ConfigurationError
from sesacctl.settings import Settings

MSK = "msk"
_RENEW_SECONDS = 300  # before a token of MSK expires: it counts only when a connection is made
_VARIABLE = "KAFKA_OAUTH_TOKEN_PROVIDER"


class TokenProviderFailed(KafkaConnectionError):  # type: ignore[misc]
    """The function has raised an exception: as with a broker that is away, the next connection tries again."""


class NoToken(TokenProviderFailed):
    """The function has returned something else than a token."""


class _Tokens(AbstractTokenProvider):  # type: ignore[misc]
    """Asks the function for each connection and each new login over one."""

    def __init__(self, name: str, function: Callable[[], Any]) -> None:
        super().__init__()
        self._name, self._function = name, function

    def token(self) -> str:
        """The function's token, without white space around it.

        Raises:
            TokenProviderFailed: it raises an exception.
            NoToken: it returns something else; the text does not hold what.
        """
        try:
            token = self._function()
        except Exception as error:
            raise TokenProviderFailed(f"{_VARIABLE} {self._name} failed: {type(error).__name__}: {error}") from error
        if not isinstance(token, str) or not token.strip():
            found = "an empty string" if isinstance(token, str) else f"{type(token).__name__}"
            raise NoToken(f"{_VARIABLE} {self._name} returned {found}, and not a token as a string")
        return token.strip()


def token_provider(settings: Settings) -> AbstractTokenProvider:
    """What kafka-python asks for tokens; loads the function and does not call it.

    Raises:
        ConfigurationError: the setting is missing, or names no function; for `msk`, no signer or region is there.
    """
    name = settings.kafka_oauth_token_provider
    if not name:
        raise ConfigurationError(
            f"KAFKA_SASL_MECHANISM=OAUTHBEARER needs {_VARIABLE}: package.module:function, or {MSK}"
        )
    return _Tokens(name, _msk(settings.kafka_msk_region) if name == MSK else _function(name))


def _function(name: str) -> Callable[[], Any]:
    module_name, _, path = name.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in path.split("."):
            found = getattr(found, part)
    except Exception as error:  # also whatever the module itself raises
        raise ConfigurationError(
            f"{_VARIABLE}={name} cannot be loaded: {type(error).__name__}: {error}",
            hint="install the module in sesacctl's environment, or add its folder to PYTHONPATH",
        ) from None
    if not callable(found):
        raise ConfigurationError(f"{_VARIABLE}={name} is not a function but {type(found).__name__}")
    function: Callable[[], Any] = found
    return function


def _msk(region: str | None) -> Callable[[], str]:
    try:
        from aws_msk_iam_sasl_signer.MSKAuthTokenProvider import generate_auth_token
        from botocore.session import Session
    except ImportError as error:
        raise installation.missing(f"AWS's signer for {_VARIABLE}={MSK} is not installed:", "msk", error) from None
    where = region or os.environ.get("AWS_REGION") or Session().get_config_variable("region")
    if not where:
        raise ConfigurationError(f"{_VARIABLE}={MSK} needs a region: set KAFKA_MSK_REGION or AWS_REGION")
    kept: tuple[str, float] = "", 0.0

    def token() -> str:
        # Looking for credentials may take a request to AWS each time, and connections come in dozens.
        nonlocal kept
        if time.time() > kept[1] - _RENEW_SECONDS:
            if Session().get_credentials() is None:
                raise LookupError("there are no AWS credentials")
            made, expires_ms = generate_auth_token(where)
            kept = made, expires_ms / 1000
        return kept[0]

    return token

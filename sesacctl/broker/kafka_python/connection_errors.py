"""Why no broker could be connected to: kafka-python only logs it, tries again, and raises a time-out in the end."""

from __future__ import annotations

import re
from collections import deque
from typing import Any

from kafka.errors import (
    AuthorizationError,
    KafkaConnectionError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
)

from sesacctl.broker.errors import reach_hint, user_hint
from sesacctl.broker.kafka_python.connections import watched_from_the_start
from sesacctl.broker.oauth import MSK, NoToken, TokenProviderFailed
from sesacctl.broker.security import OAUTHBEARER
from sesacctl.errors import ServerRefused, ServerUnreachable, SesacctlError
from sesacctl.settings import Settings

_HUNG_UP = "socket disconnected"
_TLS_HINT = "set KAFKA_SSL_CAFILE to the CA of the brokers' certificates, and connect by the names that are in them"
_OAUTH_HINT = "fix the function that KAFKA_OAUTH_TOKEN_PROVIDER names; it returns the token as a string"
_MSK_HINT = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this host a role"
_CERTIFICATE_HINT = "set KAFKA_SSL_CERTFILE and KAFKA_SSL_KEYFILE to a certificate that the brokers' CA has signed"
# What brokers say of our certificate: none, expired, or of a CA that they do not know.
_CERTIFICATE_ALERT = re.compile(
    r"alert (certificate|bad certificate|unknown ca|unsupported certificate)", re.IGNORECASE
)
_PROTOCOL_HINT = "check KAFKA_SECURITY_PROTOCOL: the listener may speak another one"


class Reasons:
    """The errors of the connections of one client, as long as it makes its first one."""

    def __init__(self) -> None:
        self._recent: deque[BaseException] = deque(maxlen=50)

    def note(self, error: BaseException) -> None:
        """Remember an error; on any thread."""
        self._recent.append(error)

    def watching(self) -> dict[str, Any]:
        """The options of a client that have its connections' errors noted here, and nowhere else."""
        return {"kafka_client": watched_from_the_start(lambda _, error: self.note(error) if error else None)}

    def explain(self, settings: Settings) -> SesacctlError | None:
        """The error that says why no broker could be connected to, and what to do; None if nothing is known.

        The most telling reason counts: the last attempts are cut short by the deadline of the whole.
        """
        recent = self._recent.copy()  # other threads may add to it meanwhile
        servers = f"Kafka at {', '.join(settings.brokers)}"
        told = next((refusal for each in recent if (refusal := _refusal(settings, each))), None)
        if told:
            return ServerRefused(f"{servers} {told[0]}", hint=told[1])
        lost = [str(each) for each in recent if isinstance(each, KafkaConnectionError)]
        if failed := next((each for each in recent if isinstance(each, TokenProviderFailed)), None):
            return ServerUnreachable(f"{servers} cannot be reached: {failed.args[0]}", hint=_oauth_hint(settings))
        if settings.kafka_security_protocol.startswith("SASL") and lost and all(_HUNG_UP in text for text in lost):
            # A broker that refuses a login says so and hangs up; kafka-python often notices the latter only.
            return ServerUnreachable(
                f"{servers} closes the connection during login {_as_whom(settings)}", hint=user_hint(settings)
            )
        return (
            ServerUnreachable(f"{servers} cannot be reached ({lost[0]})", hint=reach_hint(settings)) if lost else None
        )


def _refusal(settings: Settings, reason: BaseException) -> tuple[str, str] | None:
    """The problem and a hint, if it is one that waiting does not cure; else None."""
    text = str(reason)
    if isinstance(reason, SaslAuthenticationFailedError | AuthorizationError | UnsupportedSaslMechanismError):
        return f"refused us {_as_whom(settings)}: {type(reason).__name__}", user_hint(settings)
    if isinstance(reason, NoToken):
        return f"got no token from us: {reason.args[0]}", _oauth_hint(settings)
    if _CERTIFICATE_ALERT.search(text):
        problem = text.partition("alert ")[2].partition(" (_ssl.c")[0]
        return f"{_our_certificate(settings)}: {problem}", _CERTIFICATE_HINT
    if "CERTIFICATE_VERIFY_FAILED" in text:
        problem = text.partition("verify failed: ")[2].partition(" (_ssl.c")[0]
        return f"has an untrusted certificate: {problem}", _TLS_HINT
    if "Handshake failed" in text:
        return f"does not speak TLS there ({text})", _PROTOCOL_HINT
    return None


def _oauth_hint(settings: Settings) -> str:
    return _MSK_HINT if settings.kafka_oauth_token_provider == MSK else _OAUTH_HINT


def _our_certificate(settings: Settings) -> str:
    if settings.kafka_ssl_certfile is None:
        return "asks for a client certificate, and KAFKA_SSL_CERTFILE is not set"
    return f"refused the certificate in {settings.kafka_ssl_certfile}"


def _as_whom(settings: Settings) -> str:
    if settings.kafka_sasl_mechanism == OAUTHBEARER:
        return f"with a token of {settings.kafka_oauth_token_provider}"
    return f"as {settings.kafka_sasl_username} with {settings.kafka_sasl_mechanism}"

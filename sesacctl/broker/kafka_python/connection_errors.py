"""Why no broker could be connected to: kafka-python only logs it, tries again, and raises a time-out in the end."""

from __future__ import annotations

import logging
import re
from collections import deque

from kafka.errors import (
    AuthorizationError,
    KafkaConnectionError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
)

from sesacctl.broker.oauth import MSK, NoToken, TokenProviderFailed
from sesacctl.broker.security import OAUTHBEARER
from sesacctl.errors import ServerRefused, ServerUnreachable, SesacctlError
from sesacctl.settings import Settings

_LOGGER = logging.getLogger("kafka.net.manager")
_HUNG_UP = "socket disconnected"
_TLS_HINT = "set KAFKA_SSL_CAFILE to the CA of the brokers' certificates, and connect by the names that are in them"
_OAUTH_HINT = "fix the function that KAFKA_OAUTH_TOKEN_PROVIDER names; it returns the token as a string"
_MSK_HINT = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this host a role"
_REFUSED_OAUTH_HINT = "check the token of KAFKA_OAUTH_TOKEN_PROVIDER: audience, issuer, expiry, and its user's rights"
_NOBODY_HINT = "give User:ANONYMOUS that right, or log in: set KAFKA_SECURITY_PROTOCOL and what goes with it"
_RIGHTS_HINT = "check the rights of our client certificate's user"
_CERTIFICATE_HINT = "set KAFKA_SSL_CERTFILE and KAFKA_SSL_KEYFILE to a certificate that the brokers' CA has signed"
# What brokers say of our certificate: none, expired, or of a CA that they do not know.
_CERTIFICATE_ALERT = re.compile(
    r"alert (certificate|bad certificate|unknown ca|unsupported certificate)", re.IGNORECASE
)
_USER_HINT = "check KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD, KAFKA_SASL_MECHANISM and the user's rights"
_PROTOCOL_HINT = "check KAFKA_SECURITY_PROTOCOL: the listener may speak another one"
REACH_HINT = "sesacctl up, or set KAFKA_BOOTSTRAP_SERVERS and KAFKA_SECURITY_PROTOCOL"


class Reasons(logging.Filter):
    """Remembers the errors in the records of connections, and lets through only what was let through without it."""

    def __init__(self) -> None:
        super().__init__()
        self._recent: deque[Exception] = deque(maxlen=50)

    def filter(self, record: logging.LogRecord) -> bool:
        """Look at a record."""
        arguments = record.args if isinstance(record.args, tuple) else ()
        self._recent.extend(each for each in arguments if isinstance(each, Exception))
        parent = _LOGGER.parent
        return parent is None or record.levelno >= parent.getEffectiveLevel()

    def clear(self) -> None:
        """Forget them."""
        self._recent.clear()

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
        return ServerUnreachable(f"{servers} cannot be reached ({lost[0]})", hint=REACH_HINT) if lost else None


def _refusal(settings: Settings, reason: Exception) -> tuple[str, str] | None:
    """What to say of it and what to do, if it will not pass."""
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


def user_hint(settings: Settings) -> str:
    """What to look at when brokers do not let us in."""
    if settings.kafka_security_protocol == "PLAINTEXT":
        return _NOBODY_HINT
    if settings.kafka_security_protocol == "SSL":
        return _RIGHTS_HINT
    return _REFUSED_OAUTH_HINT if settings.kafka_sasl_mechanism == OAUTHBEARER else _USER_HINT


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


reasons = Reasons()
_LOGGER.addFilter(reasons)
_LOGGER.setLevel(logging.WARNING)

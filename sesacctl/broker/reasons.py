"""Why no broker could be connected to: kafka-python only logs it, tries again, and raises a time-out in the end."""

from __future__ import annotations

import logging
from collections import deque

from kafka.errors import (
    AuthorizationError,
    KafkaConnectionError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
)

from sesacctl.errors import ServerRefused, ServerUnreachable, SesacctlError
from sesacctl.settings import Settings

_LOGGER = logging.getLogger("kafka.net.manager")
_HUNG_UP = "socket disconnected"
_TLS_HINT = "set KAFKA_SSL_CAFILE to the CA of the brokers' certificates, and connect by the names that are in them"
USER_HINT = "check KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD, KAFKA_SASL_MECHANISM and the user's rights"
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
        if settings.kafka_security_protocol.startswith("SASL") and lost and all(_HUNG_UP in text for text in lost):
            # A broker that refuses a login says so and hangs up; kafka-python often notices the latter only.
            return ServerUnreachable(f"{servers} hangs up when we log in {_as_whom(settings)}", hint=USER_HINT)
        return ServerUnreachable(f"{servers} cannot be reached ({lost[0]})", hint=REACH_HINT) if lost else None


def _refusal(settings: Settings, reason: Exception) -> tuple[str, str] | None:
    """What to say of it and what to do, if it will not pass."""
    text = str(reason)
    if isinstance(reason, SaslAuthenticationFailedError | AuthorizationError | UnsupportedSaslMechanismError):
        return f"refused us {_as_whom(settings)}: {type(reason).__name__}", USER_HINT
    if "CERTIFICATE_VERIFY_FAILED" in text:
        problem = text.partition("verify failed: ")[2].partition(" (_ssl.c")[0]
        return f"has a certificate that is not to be trusted: {problem}", _TLS_HINT
    if "Handshake failed" in text:
        return f"does not speak TLS there ({text})", _PROTOCOL_HINT
    return None


def _as_whom(settings: Settings) -> str:
    return f"as {settings.kafka_sasl_username} with {settings.kafka_sasl_mechanism}"


reasons = Reasons()
_LOGGER.addFilter(reasons)
_LOGGER.setLevel(logging.WARNING)

"""Kafka's errors in our words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kafka.errors import (
    AuthorizationError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    NodeNotReadyError,
    RetriableError,
    SaslAuthenticationFailedError,
    UnknownTopicOrPartitionError,
)

from sesacctl.broker.addresses import missed
from sesacctl.broker.security import OAUTHBEARER
from sesacctl.errors import ServerRefused, ServerUnreachable, TopicMissing
from sesacctl.settings import Settings

_NOBODY_HINT = "give User:ANONYMOUS that right, or log in: set KAFKA_SECURITY_PROTOCOL and what goes with it"
_RIGHTS_HINT = "check the rights of our client certificate's user"
_USER_HINT = "check KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD, KAFKA_SASL_MECHANISM and the user's rights"
_REFUSED_OAUTH_HINT = "check the token of KAFKA_OAUTH_TOKEN_PROVIDER: audience, issuer, expiry, and its user's rights"


@contextmanager
def translate_errors(settings: Settings) -> Iterator[None]:
    """Turn Kafka's errors into ours.

    Raises:
        ServerUnreachable: no broker answers in time.
        ServerRefused: authentication or authorization failed.
        TopicMissing: a topic does not exist.
    """
    servers = ", ".join(settings.brokers)
    try:
        yield
    except (SaslAuthenticationFailedError, AuthorizationError) as error:
        why = ": ".join((type(error).__name__, *map(str, error.args)))
        raise ServerRefused(f"Kafka at {servers} refused us: {why}", hint=user_hint(settings)) from None
    except UnknownTopicOrPartitionError:
        raise TopicMissing from None
    except (KafkaConnectionError, KafkaTimeoutError, NodeNotReadyError, RetriableError, OSError) as error:
        raise unreachable(settings, error) from None
    except KafkaError as error:
        raise ServerRefused(
            f"Kafka at {servers} refused a request: {type(error).__name__}: {error}",
            hint="sesacctl health; the brokers' logs say more",
        ) from None


def unreachable(settings: Settings, error: BaseException) -> ServerUnreachable:
    """The error that names the brokers and says what to do."""
    return missed.explain(settings) or ServerUnreachable(
        f"Kafka at {', '.join(settings.brokers)} cannot be reached ({type(error).__name__})",
        hint=reach_hint(settings),
    )


def reach_hint(settings: Settings) -> str:
    """What to do when no broker answers."""
    start = "sesacctl up" if settings.follows_stack("kafka_bootstrap_servers") else "start those brokers"
    return f"{start}, or set KAFKA_BOOTSTRAP_SERVERS and KAFKA_SECURITY_PROTOCOL"


def user_hint(settings: Settings) -> str:
    """What to look at when brokers do not let us in."""
    if settings.kafka_security_protocol == "PLAINTEXT":
        return _NOBODY_HINT
    if settings.kafka_security_protocol == "SSL":
        return _RIGHTS_HINT
    return _REFUSED_OAUTH_HINT if settings.kafka_sasl_mechanism == OAUTHBEARER else _USER_HINT

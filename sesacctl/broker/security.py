"""How clients prove who they are, and whom they trust: SASL and TLS from the settings, checked before connecting."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from sesacctl.broker.oauth import token_provider
from sesacctl.errors import ConfigurationError
from sesacctl.settings import Settings

OAUTHBEARER = "OAUTHBEARER"


def security_options(settings: Settings) -> dict[str, Any]:
    """What kafka-python's clients are made with; opens files, but no connection.

    Raises:
        ConfigurationError: settings that belong together are not there, or a file or function cannot be used.
    """
    options: dict[str, Any] = {"security_protocol": settings.kafka_security_protocol}
    if settings.kafka_security_protocol.startswith("SASL"):
        options |= _sasl(settings)
    if settings.kafka_security_protocol.endswith("SSL"):
        options["ssl_context"] = tls_context(settings)
    elif settings.kafka_ssl_cafile:
        _require_pem("KAFKA_SSL_CAFILE", settings.kafka_ssl_cafile)
    return options


def _sasl(settings: Settings) -> dict[str, Any]:
    if settings.kafka_sasl_mechanism == OAUTHBEARER:
        return {"sasl_mechanism": OAUTHBEARER, "sasl_oauth_token_provider": token_provider(settings)}
    if not (settings.kafka_sasl_mechanism and settings.kafka_sasl_username and settings.kafka_sasl_password):
        raise ConfigurationError(
            f"KAFKA_SECURITY_PROTOCOL={settings.kafka_security_protocol} needs KAFKA_SASL_MECHANISM, "
            "KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"
        )
    return {
        "sasl_mechanism": settings.kafka_sasl_mechanism,
        "sasl_plain_username": settings.kafka_sasl_username,
        "sasl_plain_password": settings.kafka_sasl_password.get_secret_value(),
    }


def tls_context(settings: Settings, *, verify: bool = True) -> ssl.SSLContext:
    """TLS with the CA and the client certificate of the settings; without `verify`, any server is trusted.

    Raises:
        ConfigurationError: a file is missing, cannot be read, is not PEM, or does not go with the other one.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    authority = settings.kafka_ssl_cafile
    if authority:
        _require_pem("KAFKA_SSL_CAFILE", authority)
        try:
            context.load_verify_locations(authority)
        except ssl.SSLError as error:
            raise ConfigurationError(f"KAFKA_SSL_CAFILE: {authority} has no certificate in it: {error}") from None
    elif verify:
        context.load_default_certs()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    _load_own(context, settings)
    return context


def _load_own(context: ssl.SSLContext, settings: Settings) -> None:
    certificate, key = settings.kafka_ssl_certfile, settings.kafka_ssl_keyfile
    if certificate is None:
        if key:
            raise ConfigurationError("KAFKA_SSL_KEYFILE needs KAFKA_SSL_CERTFILE, the certificate of that key")
        return
    _require_pem("KAFKA_SSL_CERTFILE", certificate)
    if key:
        _require_pem("KAFKA_SSL_KEYFILE", key)
    asked = False

    def password() -> str:  # without a function, OpenSSL would ask on the terminal
        nonlocal asked
        asked = True
        return settings.kafka_ssl_password.get_secret_value() if settings.kafka_ssl_password else ""

    try:
        context.load_cert_chain(certificate, key, password)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigurationError(_why_not(error, settings, encrypted=asked)) from None


def _why_not(error: ssl.SSLError | ValueError, settings: Settings, *, encrypted: bool) -> str:
    certificate, key = settings.kafka_ssl_certfile, settings.kafka_ssl_keyfile
    holder = f"KAFKA_SSL_KEYFILE: {key}" if key else f"KAFKA_SSL_CERTFILE: {certificate}"
    if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
        return f"{holder}: the key is not that of the certificate in KAFKA_SSL_CERTFILE"
    if encrypted:
        given = "KAFKA_SSL_PASSWORD does not open it" if settings.kafka_ssl_password else "set KAFKA_SSL_PASSWORD"
        return f"{holder}: the key is encrypted, {given}"
    if key is None:
        return f"KAFKA_SSL_CERTFILE: {certificate} must hold a certificate and, without KAFKA_SSL_KEYFILE, its key"
    return (
        f"KAFKA_SSL_CERTFILE: {certificate} must hold a certificate, and KAFKA_SSL_KEYFILE: {key} its key, both as PEM"
    )


def _require_pem(variable: str, path: Path) -> None:
    if not path.is_file():
        raise ConfigurationError(f"{variable}: {path} is not a file")
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{variable}: {path} cannot be read: {error.strerror}") from None
    if b"-----BEGIN " not in text:
        raise ConfigurationError(
            f"{variable}: {path} is not PEM; convert a JKS or PKCS#12 store with keytool or openssl"
        )

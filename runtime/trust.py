"""Whom TLS trusts: the controller's CA, fetched once and checked against the pin in the enrolment token (C1, T-63).

All contexts speak TLS 1.3 only, check host names, and never write key logs: ``ssl.create_default_context`` would honour
SSLKEYLOGFILE, so it is not used.
"""

import hmac
import os
import ssl
from typing import Final

from protocol.errors import LocalError, RemoteError, RemoteProtocolError
from protocol.ids import SpkiPin, spki_pin
from protocol.reasons import Reason
from runtime.http import check_url, request

CA_PATH: Final = "/ca.pem"
_CA_MAX_BYTES: Final = 64 * 1024


async def fetch_ca(url: str, pin: SpkiPin, *, deadline_s: float = 10.0, sock_mark: int | None = None) -> bytes:
    """Fetches the controller's CA certificate over unverified TLS and accepts it only if its key has ``pin``.

    Args:
        url: base URL of the controller.
        pin: from the enrolment token, which came over another way.
        deadline_s: for everything together.
        sock_mark: SO_MARK of the socket.

    Returns:
        The CA certificate as PEM.

    Raises:
        RemoteError: PIN_MISMATCH naming both pins; CONTROLLER_UNREACHABLE; TIMEOUT.
    """
    parts = check_url(url)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    answer = await request(
        "GET",
        base + CA_PATH,
        context=context,
        deadline_s=deadline_s,
        sock_mark=sock_mark,
        max_bytes=_CA_MAX_BYTES,
    )
    if answer.status != 200:
        raise RemoteProtocolError(f"{base}{CA_PATH} answered {answer.status}")
    return check_ca_untrusted(answer.body, pin)


async def fetch_vouched_ca(url: str, *, sock_mark: int | None = None) -> bytes | None:
    """Fetches the controller's CA certificate over TLS that the system's roots vouch for; None when it shows none.

    Raises RemoteError: CERTIFICATE_UNTRUSTED, CONTROLLER_UNREACHABLE, TIMEOUT.
    """
    answer = await request(
        "GET", url + CA_PATH, context=client_context(None), sock_mark=sock_mark, max_bytes=_CA_MAX_BYTES
    )
    return answer.body if answer.status == 200 else None


def check_ca_untrusted(pem: bytes, pin: SpkiPin) -> bytes:
    """Returns the pinned CA certificate in ``pem``, alone. Raises RemoteError(PIN_MISMATCH), RemoteProtocolError."""
    # Needed once per enrolment or sign-in; it would cost every command that only makes a context a tenth of a second.
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    try:
        certificate = x509.load_pem_x509_certificate(pem)
        is_ca = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, x509.ExtensionNotFound) as exc:
        raise RemoteProtocolError("the controller's CA certificate is malformed") from exc
    seen = spki_pin(key)
    if not hmac.compare_digest(seen.encode(), pin.encode()):
        raise RemoteError(Reason.PIN_MISMATCH, f"the controller's CA has {seen}, expected was {pin}")
    if not is_ca:
        raise RemoteProtocolError("the pinned certificate is not a CA")
    return certificate.public_bytes(Encoding.PEM)


def client_context(ca_pem: bytes | None) -> ssl.SSLContext:
    """Returns a TLS 1.3 client context that trusts ``ca_pem`` only, or the system's roots when it is None."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = True
    context.verify_mode = ssl.CERT_REQUIRED
    if ca_pem is None:
        context.load_default_certs()
        return context
    try:
        context.load_verify_locations(cadata=ca_pem.decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError) as exc:
        raise LocalError(Reason.STATE_CORRUPT, "the stored CA certificate is damaged") from exc
    return context


def server_context(cert_pem: bytes, key_pem: bytes) -> ssl.SSLContext:
    """Returns a TLS 1.3 server context without session tickets (S-5). Raises LocalError(STATE_CORRUPT)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    # The ssl module reads only files; this one has no name and ends with its descriptor.
    handle = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(handle), "wb") as file:
            file.write(key_pem.rstrip() + b"\n" + cert_pem)
        context.load_cert_chain(f"/proc/self/fd/{handle}")
    except (ssl.SSLError, OSError) as exc:
        raise LocalError(Reason.STATE_CORRUPT, "the stored certificate or its key is damaged") from exc
    finally:
        os.close(handle)
    return context

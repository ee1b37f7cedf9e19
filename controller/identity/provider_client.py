"""Talks to identity providers: discovery, keys, the code's redemption (T-13, T-14, T-15, F-32). One per process.

A provider is somebody else's machine, and an address that an owner typed. So every request has a deadline and a bound, no
redirect is followed, every address of the host is judged before one is dialled, only so many run at once, and a provider
that failed is left alone for a moment. Documents and keys are kept; keys are fetched anew for a ``kid`` that is not known,
at most once in ``KEYS_COOLDOWN_S``, and old keys stay when that fails.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from controller.identity.identity_rules import IdentityRule, refused
from controller.identity.oidc import (
    METADATA_MAX_BYTES,
    Flow,
    Metadata,
    discovery_url,
    is_acceptable_url,
    parse_metadata_untrusted,
    token_request,
)
from controller.identity.oidc_tokens import (
    JWKS_MAX_BYTES,
    USERINFO_MAX_BYTES,
    ProviderKeys,
    UnknownKeyError,
    parse_jwks_untrusted,
    parse_userinfo_untrusted,
    verify_id_token_untrusted,
)
from protocol.acl.model import IPAddress
from protocol.acl.names import unmapped
from protocol.address_kinds import faces_of, forbidden_kind
from protocol.errors import LocalError, OstiaryError, RefusedError, RemoteProtocolError
from protocol.reasons import Reason
from protocol.tokens.strict import parse_object_untrusted
from runtime.clock import Clock
from runtime.http import request

DEADLINE_S: Final = 5.0
"""For one request, name resolution and TLS included."""
CONCURRENT_MAX: Final = 8
"""Requests to one provider at once; more are refused and not queued, so that a slow provider holds nobody else up."""
METADATA_KEEP_S: Final = 3600.0
KEYS_KEEP_S: Final = 3600.0
KEYS_COOLDOWN_S: Final = 30.0
FAILED_FOR_S: Final = 5.0
PROVIDERS_MAX: Final = 64
TOKEN_ANSWER_MAX_BYTES: Final = 256 * 1024


@dataclass(slots=True)
class _Known:
    """What is kept of one provider. Times are monotonic seconds."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    running: int = 0
    failed_until: float = float("-inf")
    metadata: Metadata | None = None
    metadata_until: float = float("-inf")
    keys: ProviderKeys | None = None
    keys_until: float = float("-inf")
    keys_tried: float = float("-inf")


class ProviderClient:
    """Use it from one event loop.

    Args:
        context: verifies the providers' certificates.
        clock: the monotonic side ages what is kept, the wall side judges tokens.
        loopback: accept providers on this very host, over http too: for tests and demonstrations only.
        host_roots: trust the host's roots besides what is in ``context``. They are read before the first request, because
            that takes longer than much else of a start, and most controllers have no provider.
    """

    def __init__(
        self, context: ssl.SSLContext, clock: Clock, *, loopback: bool = False, host_roots: bool = True
    ) -> None:
        self._context = context
        self._clock = clock
        self._loopback = loopback
        self._roots_wanted = host_roots
        self._roots_lock = asyncio.Lock()
        self._known: dict[str, _Known] = {}

    async def metadata(self, issuer: str) -> Metadata:
        """Returns the provider's description.

        Raises:
            RefusedError: IDENTITY_PROVIDER_UNREACHABLE, or IDENTITY_REFUSED for a document that cannot be accepted.
        """
        known = self._of(issuer)
        if known.metadata is None or self._clock.monotonic() >= known.metadata_until:
            async with known.lock:
                if known.metadata is None or self._clock.monotonic() >= known.metadata_until:
                    raw = await self._fetch(known, "GET", discovery_url(issuer), most=METADATA_MAX_BYTES)
                    known.metadata = parse_metadata_untrusted(raw, issuer, loopback=self._loopback)
                    known.metadata_until = self._clock.monotonic() + METADATA_KEEP_S
        return known.metadata

    async def redeem(
        self, flow: Flow, *, code: str, client_id: str, client_secret: str, wants: tuple[str, ...]
    ) -> dict[str, Any]:
        """Redeems an authorisation code and returns the verified claims about the person.

        Args:
            flow: the sign-in that the code belongs to.
            code: as the browser brought it; good once.
            client_id: ours at the provider.
            client_secret: likewise.
            wants: claims that are looked up at the userinfo endpoint when the ID token lacks one of them.

        Raises:
            RefusedError: IDENTITY_PROVIDER_UNREACHABLE, IDENTITY_REFUSED.
        """
        metadata, known = await self.metadata(flow.issuer), self._of(flow.issuer)
        headers, body = token_request(metadata, flow, code=code, client_id=client_id, client_secret=client_secret)
        raw = await self._fetch(
            known, "POST", metadata.token_endpoint, most=TOKEN_ANSWER_MAX_BYTES, headers=headers, body=body
        )
        answer = _parse_answer_untrusted(raw)
        id_token, access_token = answer.get("id_token"), answer.get("access_token")
        if not isinstance(id_token, str):
            raise refused(IdentityRule.ID_TOKEN_MISSING, "the provider answers without an ID token")
        access = access_token if isinstance(access_token, str) else None
        claims = await self._verify(metadata, id_token, flow, client_id, access)
        if access is not None and metadata.userinfo_endpoint is not None and any(name not in claims for name in wants):
            more = await self._userinfo(known, metadata.userinfo_endpoint, access, str(claims["sub"]))
            # What was signed counts more than what was only fetched.
            claims = {**more, **claims}
        return claims

    async def _verify(
        self, metadata: Metadata, id_token: str, flow: Flow, client_id: str, access_token: str | None
    ) -> dict[str, Any]:
        known = self._of(flow.issuer)
        for keys in (await self._keys(known, metadata), None):
            present = keys if keys is not None else await self._keys(known, metadata, anew=True)
            try:
                return verify_id_token_untrusted(
                    id_token,
                    present,
                    flow=flow,
                    client_id=client_id,
                    algorithms=metadata.algorithms,
                    access_token=access_token,
                    now=self._clock.wall(),
                )
            except UnknownKeyError:
                if keys is None:
                    raise
        raise AssertionError("unreachable")

    async def _keys(self, known: _Known, metadata: Metadata, *, anew: bool = False) -> ProviderKeys:
        """The provider's keys; ``anew`` when one was not among them (T-14)."""
        async with known.lock:
            now = self._clock.monotonic()
            if known.keys is not None and now < known.keys_until and not (anew and self._may_refresh(known, now)):
                return known.keys
            known.keys_tried = now  # claimed before the fetch, so that failures count too
            try:
                raw = await self._fetch(known, "GET", metadata.jwks_uri, most=JWKS_MAX_BYTES)
                known.keys = parse_jwks_untrusted(raw)
            except RefusedError:
                if known.keys is None:
                    raise
            known.keys_until = self._clock.monotonic() + KEYS_KEEP_S
            return known.keys

    @staticmethod
    def _may_refresh(known: _Known, now: float) -> bool:
        return now >= known.keys_tried + KEYS_COOLDOWN_S

    async def _userinfo(self, known: _Known, url: str, access_token: str, subject: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {access_token}", "Accept": "application/json"}
        raw = await self._fetch(known, "GET", url, most=USERINFO_MAX_BYTES, headers=headers)
        return parse_userinfo_untrusted(raw, subject)

    async def _fetch(
        self,
        known: _Known,
        method: str,
        url: str,
        *,
        most: int,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> bytes:
        if not is_acceptable_url(url, loopback=self._loopback):
            raise refused(IdentityRule.PROVIDER_ANSWER, "the provider is not reached by https")
        if self._clock.monotonic() < known.failed_until:
            raise _unreachable("it failed a moment ago")
        if known.running >= CONCURRENT_MAX:
            raise _unreachable("too many sign-ins wait for it")
        known.running += 1
        try:
            answer = await request(
                method,
                url,
                context=await self._trusting(),
                headers=headers,
                body=body,
                deadline_s=DEADLINE_S,
                max_bytes=most,
                admit=self._admit,
            )
        except RefusedError:
            raise
        except OstiaryError as exc:
            known.failed_until = self._clock.monotonic() + FAILED_FOR_S
            raise _unreachable(_WHY.get(exc.reason, exc.reason.code)) from exc
        finally:
            known.running -= 1
        if answer.status == 200:
            return answer.body
        if answer.status >= 500 or answer.status == 429:
            raise _unreachable(f"it answered {answer.status}")
        raise refused(IdentityRule.PROVIDER_ANSWER, f"the provider answered {answer.status}")

    async def _trusting(self) -> ssl.SSLContext:
        if self._roots_wanted:
            async with self._roots_lock:
                if self._roots_wanted:
                    await asyncio.to_thread(self._context.load_default_certs)
                    self._roots_wanted = False
        return self._context

    def _admit(self, address: IPAddress) -> None:
        for face in faces_of(unmapped(address)):
            kind = forbidden_kind(face)
            if kind is not None and not (self._loopback and kind == "loopback"):
                raise _unreachable(f"its address is {kind}, which is never asked")

    def _of(self, issuer: str) -> _Known:
        while len(self._known) >= PROVIDERS_MAX and issuer not in self._known:
            self._known.pop(next(iter(self._known)))
        return self._known.setdefault(issuer, _Known())


def _parse_answer_untrusted(raw: bytes) -> dict[str, object]:
    try:
        return parse_object_untrusted(raw, limit=TOKEN_ANSWER_MAX_BYTES)
    except RemoteProtocolError as exc:
        raise refused(IdentityRule.PROVIDER_ANSWER, "the provider's answer is not JSON") from exc


_WHY: Final = {
    Reason.CONTROLLER_UNREACHABLE: "there is no connection to its host",
    Reason.TIMEOUT: "its host did not answer in time",
    Reason.CERTIFICATE_UNTRUSTED: "the certificate of its host is not trusted here",
}
"""Why an answer stayed away, without what lies behind the provider's name. The client of HTTP speaks of controllers."""


def _unreachable(detail: str) -> RefusedError:
    return RefusedError(Reason.IDENTITY_PROVIDER_UNREACHABLE, detail)


def provider_context(ca_file: Path | None) -> ssl.SSLContext:
    """Returns the TLS context for providers: the roots in ``ca_file``; TLS 1.2 is their affair.

    Raises:
        LocalError: CONFIG_INVALID when the file holds no certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as exc:
            raise LocalError(Reason.CONFIG_INVALID, f"identity_provider_ca: {ca_file} holds no certificate") from exc
    return context

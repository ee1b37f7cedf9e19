"""Cross-site request forgery (T-72): a form is taken only from a page of our own.

The session cookies are ``SameSite=Lax``, which stops forms of other sites already; this check does not rely on it. Both headers are set by the browser and
cannot be set by a page. A request that carries neither comes from no browser that we know, and is refused too: programs
use the API with a bearer token.
"""

from collections.abc import Collection, Mapping

from protocol.errors import RefusedError
from protocol.reasons import Reason


def require_same_origin(headers: Mapping[str, str], own: Collection[str]) -> None:
    """Raises RefusedError(FORBIDDEN) unless ``Sec-Fetch-Site`` and ``Origin`` say that one of our own pages asks."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is None and origin is None:
        raise RefusedError(Reason.FORBIDDEN, "the request names no origin")
    if site is not None and site != "same-origin":
        raise RefusedError(Reason.FORBIDDEN, "the request comes from another site")
    if origin is not None and origin not in own:
        raise RefusedError(Reason.FORBIDDEN, "the request comes from another origin")

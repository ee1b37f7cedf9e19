"""The pages of the sign-in, rendered: what a person sees for a state of things. No page decides anything."""

from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import quote, urlencode

import segno
from fastapi.responses import RedirectResponse, Response

from controller.api.operations.device_sign_in import Asking
from controller.api.pages import Markup, notice, page, render
from controller.domain.model import IdentityProvider
from controller.identity.rate_limit import RateLimitedError
from controller.identity.user_codes import shown
from protocol.errors import OstiaryError, RefusedError
from protocol.reasons import Reason

_LEAD_PLAIN: Final = "To connect a device to Ostiary."
_LEAD_CODE: Final = "To approve the device that shows the code {code}."
_STATUS: Final = {
    Reason.NOT_FOUND: 404,
    Reason.SIGN_IN_EXPIRED: 404,
    Reason.UNAVAILABLE: 503,
    Reason.IDENTITY_PROVIDER_UNREACHABLE: 503,
    Reason.INVALID_INPUT: 422,
    Reason.SECOND_FACTOR_WRONG: 422,
    Reason.SIGN_IN_NOT_RECENT: 200,
}


def sign_in_page(
    typed: str,
    providers: Iterable[IdentityProvider],
    *,
    email: str = "",
    fresh: bool = False,
    error: OstiaryError | None = None,
) -> Response:
    """E-mail address and password, and the identity providers that there are; ``fresh``: these are to ask anew."""
    content = render(
        "sign_in",
        lead=_LEAD_CODE.format(code=typed) if typed else _LEAD_PLAIN,
        notice=notice_of(error),
        providers=_provider_links(typed, sorted(providers, key=lambda item: item.name), fresh=fresh),
        user_code=typed,
        email=email,
    )
    return finished(page("Sign in", content, status=status_of(error)), error)


def anew_page(typed: str, providers: Iterable[IdentityProvider]) -> Response:
    """For who is signed in, but not recently enough for what is asked, or nobody can say how recently."""
    return sign_in_page(typed, providers, fresh=True, error=RefusedError(Reason.SIGN_IN_NOT_RECENT))


def second_factor_page(typed: str, *, error: OstiaryError | None = None) -> Response:
    """The code of somebody whose password was right."""
    content = render("second_factor", notice=notice_of(error), user_code=typed)
    return finished(page("Second step", content, status=status_of(error)), error)


def set_up_needed_page(user: str, typed: str, *, error: OstiaryError | None = None) -> Response:
    """Says that the rules want a second factor."""
    content = render("set_up_needed", notice=notice_of(error), user_code=typed, account=account(user, typed))
    return finished(page("A second factor is needed", content, status=status_of(error)), error)


def set_up_page(user: str, typed: str, *, uri: str, secret: str) -> Response:
    """The secret as a QR code and as text, and the form for a first code."""
    drawn = segno.make(uri, micro=False).svg_inline(scale=4, border=3, dark="#000", light="#fff", omitsize=False)
    groups = " ".join(secret[start : start + 4] for start in range(0, len(secret), 4))
    content = render(
        "set_up", notice=Markup(""), qr=Markup(drawn), secret=groups, user_code=typed, account=account(user, typed)
    )
    return page("Set up a second factor", content)


def recovery_page(typed: str, codes: Sequence[str]) -> Response:
    """The recovery codes, this once."""
    return page("Recovery codes", render("recovery_codes", codes="\n".join(codes), user_code=typed))


def code_page(user: str, typed: str = "", *, error: OstiaryError | None = None) -> Response:
    """The form for the code that a device shows."""
    content = render("code", notice=notice_of(error), user_code=typed, account=account(user, typed))
    return finished(page("Connect a device", content, status=status_of(error)), error)


def decision_page(user: str, asking: Asking) -> Response:
    """The device that asks, to approve or deny."""
    code = shown(asking.user_code)
    device = asking.device.purpose == "device"
    content = render(
        "approve" if device else "approve_administration",
        user=user,
        notice=notice("error", ""),
        user_code=code,
        device=asking.device.name,
        platform=asking.device.platform,
        address=asking.device.address,
        account=account(user, code),
    )
    return page("Sign in this device?" if device else "Sign in this command line?", content)


def to_code(typed: str) -> RedirectResponse:
    """Goes on with a code."""
    target = f"/device?user_code={quote(typed, safe='')}" if typed else "/device"
    return RedirectResponse(target, 303, {"Cache-Control": "no-store"})


def account(user: str, typed: str) -> Markup:
    """Who is signed in, and the way out."""
    return render("account", user=user, user_code=typed)


def notice_of(error: OstiaryError | None) -> Markup:
    """What went wrong, for a person."""
    if error is None:
        return notice("error", "")
    if isinstance(error, RateLimitedError):
        return notice("error", f"{error.reason.sentence} Try again in {int(error.retry_after_s) + 1} seconds.")
    if error.reason in (Reason.NOT_FOUND, Reason.SIGN_IN_EXPIRED):
        return notice("error", "There is no such code. It may have expired: start again on the device.")
    if error.reason in (Reason.IDENTITY_REFUSED, Reason.IDENTITY_PROVIDER_UNREACHABLE, Reason.IDENTITY_UNKNOWN):
        return notice("error", f"{error.reason.sentence} {error.reason.next_step}")
    return notice("error", error.reason.sentence)


def status_of(error: OstiaryError | None) -> int:
    """The HTTP status of a page that says what went wrong."""
    if error is None:
        return 200
    if isinstance(error, RateLimitedError):
        return 429
    return _STATUS.get(error.reason, 403)


def finished(response: Response, error: OstiaryError | None) -> Response:
    """The page with what its error adds to the headers."""
    if isinstance(error, RateLimitedError):
        response.headers["Retry-After"] = str(int(error.retry_after_s) + 1)
    return response


def _provider_links(typed: str, providers: Sequence[IdentityProvider], *, fresh: bool) -> Markup:
    if not providers:
        return Markup("")
    given = {**({"user_code": typed} if typed else {}), **({"fresh": "true"} if fresh else {})}
    query = f"?{urlencode(given)}" if given else ""
    links = [render("provider", url=f"/sign-in/{item.id}{query}", label=item.name) for item in providers]
    return Markup("".join(links) + '<p class="or">or with a password</p>')

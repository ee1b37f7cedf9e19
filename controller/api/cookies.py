"""The cookies of people's browsers: none can be read by scripts, sent in clear, or set by another host.

``SameSite=Lax``, because a browser comes back from an identity provider by a navigation that another site began; writes are
protected by ``origins`` and do not rely on it.
"""

from starlette.responses import Response


def set_cookie(response: Response, name: str, value: str, *, life_s: int) -> None:
    """Sets a ``__Host-`` cookie for ``life_s`` seconds."""
    response.set_cookie(name, value, max_age=life_s, path="/", secure=True, httponly=True, samesite="lax")


def delete_cookie(response: Response, name: str) -> None:
    """Makes the browser forget a cookie."""
    response.delete_cookie(name, path="/", secure=True, httponly=True, samesite="lax")

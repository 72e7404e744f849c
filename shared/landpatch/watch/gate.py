"""Lets who may look pass, and gives every answer headers that let the page run its own code only.

A browser gives the token once and has a cookie from then on, which tells nothing of it.
"""

import hmac
from collections.abc import Mapping
from hashlib import sha256

from pydantic import SecretStr
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from landpatch.watch.access import is_loopback

COOKIE = "landpatch"
OPEN_PATHS = {"/login", "/login.js", "/style.css", "/icon.svg", "/healthz"}
"""What is told to anybody: nothing of the regions."""
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Pass:
    """Knows the token."""

    def __init__(self, token: SecretStr) -> None:
        """token: as `access.check_access` wants it."""
        self._token = token.get_secret_value().encode()
        self.cookie = self._seal(token.get_secret_value())

    def _seal(self, given: str) -> str:
        """One way: whoever finds the cookie does not have the token."""
        return hmac.new(self._token, f"landpatch serve {given}".encode(), sha256).hexdigest()

    def is_token(self, given: str) -> bool:
        """Whether it is the token; takes as long whatever is given."""
        return hmac.compare_digest(self._seal(given), self.cookie)

    def admits(self, connection: HTTPConnection) -> bool:
        """Whether a request has the cookie, or the token as `Authorization: Bearer …`."""
        scheme, _, bearer = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.is_token(bearer.strip()):
            return True
        cookie = connection.cookies.get(COOKIE, "")
        return hmac.compare_digest(cookie.encode("utf-8", "replace"), self.cookie.encode())


class Gate:
    """Lets requests pass to an application, and gives its answers the headers."""

    def __init__(self, app: ASGIApp, guard: Pass | None) -> None:
        """guard: None on loopback without a token; then only requests that name this machine pass, so that
        no page from elsewhere reads this one by a name of its own that leads here (DNS rebinding)."""
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        answer = self._refuse(HTTPConnection(scope)) or self._app
        await answer(scope, receive, send_with_headers)

    def _refuse(self, connection: HTTPConnection) -> ASGIApp | None:
        """The answer to who may not look; None for who may."""
        path = connection.scope["path"]
        if self._guard is None:
            name = connection.headers.get("host", "").rsplit(":", 1)[0].strip("[]")
            return None if is_loopback(name) else PlainTextResponse("this is not that machine", 421)
        if path in OPEN_PATHS or self._guard.admits(connection):
            return None
        if path == "/":
            return RedirectResponse("/login", 303)
        return JSONResponse({"fault": "a token is asked for: /login"}, 401)

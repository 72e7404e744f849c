"""The token endpoint: OAuth 2 as the Copernicus Data Space Ecosystem has it, for the sandbox's one
account."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Any

from landpatch.settings import Settings

TOKEN_S = 600
REFRESH_S = 3600
PUBLIC_CLIENT = "cdse-public"


class TokenError(ValueError):
    """A request that is refused, with the status and the body of its answer."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.body = {"error": error, "error_description": description}


@dataclass(slots=True)
class Identity:
    """Who the account is, and which tokens have been given."""

    user: str
    password: str
    token_s: float = TOKEN_S
    _tokens: dict[str, float] = field(default_factory=dict)
    """When each ends."""
    _refreshing: dict[str, float] = field(default_factory=dict)

    def grant(self, form: Mapping[str, str]) -> dict[str, Any]:
        """A token, as the endpoint answers it. Raises TokenError."""
        kind = form.get("grant_type", "")
        if kind == "password":
            self._check(form.get("client_id", ""), PUBLIC_CLIENT, "invalid_client")
            self._check_account(form.get("username", ""), form.get("password", ""))
            return self._give(with_refresh=True)
        if kind == "refresh_token":
            ends = self._refreshing.pop(form.get("refresh_token", ""), 0.0)
            if ends <= time.monotonic():
                raise TokenError(400, "invalid_grant", "Token is not active")
            return self._give(with_refresh=True)
        raise TokenError(400, "unsupported_grant_type", "Unsupported grant_type")

    def _check(self, given: str, known: str, error: str) -> None:
        if not known or not compare_digest(given.encode(), known.encode()):
            raise TokenError(401, error, "Invalid client or Invalid client credentials")

    def _check_account(self, user: str, password: str) -> None:
        known = self.user and self.password
        right = compare_digest(user.encode(), self.user.encode())
        if not known or not compare_digest(password.encode(), self.password.encode()) or not right:
            raise TokenError(401, "invalid_grant", "Invalid user credentials")

    def _give(self, *, with_refresh: bool) -> dict[str, Any]:
        now = time.monotonic()
        self._tokens = {token: ends for token, ends in self._tokens.items() if ends > now}
        token = secrets.token_urlsafe(32)
        self._tokens[token] = now + self.token_s
        answer: dict[str, Any] = {
            "access_token": token,
            "expires_in": self.token_s,
            "refresh_expires_in": 0,
            "token_type": "Bearer",
            "not-before-policy": 0,
        }
        if with_refresh:
            again = secrets.token_urlsafe(32)
            self._refreshing[again] = now + REFRESH_S
            answer |= {"refresh_token": again, "refresh_expires_in": REFRESH_S}
        return answer

    def knows(self, authorization: str | None) -> bool:
        """Whether a request's header holds a token that is valid."""
        kind, _, token = (authorization or "").partition(" ")
        return kind == "Bearer" and self._tokens.get(token, 0.0) > time.monotonic()


def open_identity(settings: Settings, token_s: float = TOKEN_S) -> Identity:
    """The account of the settings; nobody has one where none is set."""
    secret = settings.cdse_password
    return Identity(
        settings.cdse_user.get_secret_value() if settings.cdse_user else "",
        secret.get_secret_value() if secret else "",
        token_s,
    )

"""The token endpoint: OAuth 2 as the Copernicus Data Space Ecosystem has it, for the sandbox's one
account."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Any

from pydantic import SecretStr

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
    client: str = ""
    """Id of its OAuth client."""
    client_secret: str = ""
    token_s: float = TOKEN_S
    _tokens: dict[str, float] = field(default_factory=dict)
    """When each ends."""
    _refreshing: dict[str, float] = field(default_factory=dict)

    def grant(self, form: Mapping[str, str]) -> dict[str, Any]:
        """A token, as the endpoint answers it. Raises TokenError."""
        kind = form.get("grant_type", "")
        if kind == "password":
            if form.get("client_id") != PUBLIC_CLIENT:
                raise TokenError(401, "invalid_client", "Invalid client or Invalid client credentials")
            given = (form.get("username", ""), form.get("password", ""))
            if not _is_same(given, (self.user, self.password)):
                raise TokenError(401, "invalid_grant", "Invalid user credentials")
            return self._give(with_refresh=True)
        if kind == "refresh_token":
            ends = self._refreshing.pop(form.get("refresh_token", ""), 0.0)
            if ends <= time.monotonic():
                raise TokenError(400, "invalid_grant", "Token is not active")
            return self._give(with_refresh=True)
        if kind == "client_credentials":
            given = (form.get("client_id", ""), form.get("client_secret", ""))
            if not _is_same(given, (self.client, self.client_secret)):
                raise TokenError(401, "invalid_client", "Invalid client or Invalid client credentials")
            return self._give(with_refresh=False)
        raise TokenError(400, "unsupported_grant_type", "Unsupported grant_type")

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


def _is_same(given: tuple[str, str], known: tuple[str, str]) -> bool:
    """Whether a pair is the account's; nobody has one where none is set."""
    same = [compare_digest(one.encode(), other.encode()) for one, other in zip(given, known, strict=True)]
    return all(known) and all(same)


def open_identity(settings: Settings, token_s: float = TOKEN_S) -> Identity:
    """The account of the settings; nobody has one where none is set."""
    return Identity(
        _reveal(settings.cdse_user),
        _reveal(settings.cdse_password),
        _reveal(settings.sentinelhub_client_id),
        _reveal(settings.sentinelhub_client_secret),
        token_s,
    )


def _reveal(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret else ""

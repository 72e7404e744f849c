"""Access tokens of the Copernicus Data Space Ecosystem, by OAuth 2.

Source: RFC 6749, sections 4.3 (password), 4.4 (client credentials), 6 (refreshing);
https://documentation.dataspace.copernicus.eu/APIs/Token.html
"""

import re
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Annotated, Any

import requests
from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, ValidationError
from requests.auth import AuthBase

from landpatch.errors import ConfigurationError, InfrastructureError, PermanentError, TransientError
from landpatch.settings import Settings
from landpatch.sources.http import opened, read_begin, read_body

MAX_ANSWER_BYTES = 100_000
_MARGIN_S = 30.0
"""A token is renewed so long before it ends, or when a quarter of its time is left."""
_WHAT = "the token service (LANDPATCH_CDSE_TOKEN_URL)"
_REFUSALS = (400, 401, 403)
_CODE = re.compile(rb'"code" *: *"([A-Z_]{1,60})"')
"""Of what a service refuses to do."""
_Token = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,20000}$")]
"""What can stand in a header."""


class _Answer(BaseModel):
    """What the token service sends."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    access_token: _Token
    expires_in: float = Field(600, ge=1, le=86_400)
    refresh_token: _Token | None = None
    refresh_expires_in: float = Field(0, ge=0, le=1e9)


@dataclass(frozen=True, slots=True)
class Grant:
    """By what a token is asked for."""

    form: Mapping[str, str | SecretStr]
    """The fields of the request."""
    named: str
    """The settings that it is from, for a person."""


class Tokens:
    """The token of an account: asked for when it is first needed, kept in memory, renewed before it ends.

    Its methods may be called from many threads.
    """

    def __init__(self, session: requests.Session, url: str, grant: Grant) -> None:
        """session: without retries that the caller does not know of. url: of the service."""
        self._session = session
        self._url = url
        self._grant = grant
        self._token = ""
        self._until = 0.0
        self._refresh_token = ""
        self._refreshable_until = 0.0
        self._lock = Lock()

    def get(self) -> str:
        """A token that is valid for a while.

        Raises ConfigurationError when the credentials are refused, TransientError when there is no answer.
        """
        with self._lock:
            if time.monotonic() >= self._until:
                self._renew()
            return self._token

    def drop(self, token: str) -> None:
        """A token has been refused: it is not given again."""
        with self._lock:
            if token == self._token:
                self._until = 0.0

    def _renew(self) -> None:
        answer = None
        if time.monotonic() < self._refreshable_until:
            # One session for as long as that goes: an account may have a hundred.
            client = self._grant.form.get("client_id", "")
            refresh = {
                "grant_type": "refresh_token",
                "refresh_token": self._refresh_token,
                "client_id": client,
            }
            answer = self._ask(refresh)
        if answer is None:
            answer = self._ask(self._grant.form)
        if answer is None:
            raise ConfigurationError(f"{_WHAT} refuses the credentials; check {self._grant.named}")
        now = time.monotonic()
        self._token = answer.access_token
        self._until = now + _shorten(answer.expires_in)
        self._refresh_token = answer.refresh_token or ""
        self._refreshable_until = now + _shorten(answer.refresh_expires_in) if answer.refresh_token else 0.0

    def _ask(self, form: Mapping[str, str | SecretStr]) -> _Answer | None:
        """None when what is given is refused."""
        plain = {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value
            for name, value in form.items()
        }
        options: dict[str, Any] = {"data": plain, "allow_redirects": False}  # the credentials would go along
        accepted = (200, *_REFUSALS)
        try:
            with opened(
                self._session, "POST", self._url, _WHAT, accepted, InfrastructureError, **options
            ) as answer:
                if answer.status_code in _REFUSALS:
                    return None
                body = read_body(answer, _WHAT, MAX_ANSWER_BYTES)
        except PermanentError as error:
            raise ConfigurationError(str(error)) from error
        try:
            return _Answer.model_validate_json(body)
        except ValidationError:
            # What it says may hold a token.
            raise TransientError(f"{_WHAT} did not send a token") from None


def _shorten(seconds: float) -> float:
    return seconds - min(_MARGIN_S, seconds / 4)


class _Bearer(AuthBase):
    """A token as a header; unlike a plain header, no `.netrc` replaces it."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


@contextmanager
def authorized(
    session: requests.Session,
    tokens: Tokens,
    method: str,
    url: str,
    what: str,
    accepted: Collection[int] = (200,),
    **request: Any,
) -> Iterator[requests.Response]:
    """An answer to a request with a token, as of `opened`; a token that is refused is renewed once.

    Raises ConfigurationError when a new token is refused as well, or the account may not do that.
    """
    for attempt in (1, 2):
        token = tokens.get()
        with opened(
            session,
            method,
            url,
            what,
            {*accepted, 401, 403},
            InfrastructureError,
            auth=_Bearer(token),
            **request,
        ) as answer:
            if answer.status_code == 403:
                code = _CODE.search(read_begin(answer, 2000))
                reason = f"403 {code[1].decode()}" if code else "403"
                raise ConfigurationError(f"{what} does not allow that to this account ({reason})")
            if answer.status_code != 401:
                yield answer
                return
        tokens.drop(token)
        if attempt == 2:
            raise ConfigurationError(f"{what} refuses the token of this account (401)")


def open_client_tokens(settings: Settings, session: requests.Session) -> Tokens:
    """Tokens for Sentinel Hub. Raises ConfigurationError when id or secret of the client is not set."""
    if settings.sentinelhub_client_id is None or settings.sentinelhub_client_secret is None:
        raise ConfigurationError(
            "no credentials for Sentinel Hub: set LANDPATCH_SENTINELHUB_CLIENT_ID and"
            " LANDPATCH_SENTINELHUB_CLIENT_SECRET"
        )
    form: dict[str, str | SecretStr] = {
        "grant_type": "client_credentials",
        "client_id": settings.sentinelhub_client_id,
        "client_secret": settings.sentinelhub_client_secret,
    }
    named = "LANDPATCH_SENTINELHUB_CLIENT_ID and LANDPATCH_SENTINELHUB_CLIENT_SECRET"
    return Tokens(session, settings.cdse_token_url, Grant(form, named))


def open_password_tokens(settings: Settings, session: requests.Session) -> Tokens:
    """Tokens for who downloads products. Raises ConfigurationError when user or password is not set."""
    if settings.cdse_user is None or settings.cdse_password is None:
        raise ConfigurationError(
            "no credentials to download products: set LANDPATCH_CDSE_USER and LANDPATCH_CDSE_PASSWORD"
        )
    form: dict[str, str | SecretStr] = {
        "grant_type": "password",
        "client_id": "cdse-public",
        "username": settings.cdse_user,
        "password": settings.cdse_password,
    }
    return Tokens(
        session, settings.cdse_token_url, Grant(form, "LANDPATCH_CDSE_USER and LANDPATCH_CDSE_PASSWORD")
    )

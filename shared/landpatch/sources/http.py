"""One way to ask an HTTP service: time-outs, bounded answers, errors in our terms."""

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError
from urllib3.util.retry import Retry

from landpatch import __version__
from landpatch.errors import AbsentError, OverloadedError, PermanentError, TransientError

TIMEOUT_S = (10, 120)
"""Seconds to connect, seconds between bytes."""
_TRANSIENT = {408, 429, 498, 500, 502, 503, 504}
_OVERLOADED = {500, 502, 504}


def make_session(retries: int = 4) -> requests.Session:
    """A session that tries again a few times, honours Retry-After and says who asks."""
    retry = Retry(
        total=retries,
        backoff_factor=0.5,
        backoff_jitter=0.5,
        status_forcelist=_TRANSIENT,
        raise_on_status=False,
        retry_after_max=60,
    )
    session = requests.Session()
    session.trust_env = True
    session.headers["User-Agent"] = f"landpatch/{__version__}"
    session.mount("http://", HTTPAdapter(max_retries=retry))
    session.mount("https://", HTTPAdapter(max_retries=retry))
    return session


def fetch(
    session: requests.Session, url: str, params: dict[str, str] | None, what: str, max_bytes: int
) -> bytes:
    """GET a body of at most `max_bytes`.

    Raises TransientError when trying later may help (OverloadedError when asking for less may help
    too), PermanentError when not; `what` names the
    service for a person. Neither holds a query or a credential.
    """
    try:
        with session.get(url, params=params, timeout=TIMEOUT_S, stream=True) as answer:
            body = answer.raw.read(max_bytes + 1, decode_content=True)
            status = answer.status_code
            announced = answer.headers.get("Content-Length")
            encoded = "Content-Encoding" in answer.headers
    except requests.RequestException as error:
        raise TransientError(f"{what} cannot be reached: {type(error).__name__}") from error
    except (HTTPError, OSError) as error:
        raise TransientError(f"{what} broke off: {type(error).__name__}") from error
    except UnicodeError as error:
        raise PermanentError(f"{what} sent headers that cannot be read") from error
    if status in _TRANSIENT:
        failure = OverloadedError if status in _OVERLOADED else TransientError
        raise failure(f"{what} answered {status}")
    if status != 200:
        refusal = AbsentError if status == 404 else PermanentError
        raise refusal(f"{what} answered {status}: {body[:200]!r}")
    if len(body) > max_bytes:
        raise PermanentError(f"{what} sent more than {max_bytes} bytes")
    if announced and announced.isdecimal() and not encoded and int(announced) != len(body):
        raise TransientError(f"{what} sent {len(body)} of {announced} bytes")
    return bytes(body)

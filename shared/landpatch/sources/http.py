"""One way to ask an HTTP service: time-outs, bounded answers, errors in our terms."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError
from urllib3.util.retry import Retry

from landpatch import __version__
from landpatch.deadline import time_pools
from landpatch.errors import AbsentError, OverloadedError, PermanentError, RefusedError, TransientError

TIMEOUT_S = (10, 120)
"""Seconds to connect, seconds between bytes."""
REQUEST_S = 300
"""Seconds that a request may take: a heavy rendering begins late, and no more than some MB follow."""
_MAX_REDIRECTS = 5
_PIECE_BYTES = 65_536
_ENCODINGS = {"", "identity", "gzip", "deflate"}
"""Of a body; several on top of each other would unpack to any size."""
_TRANSIENT = {408, 429, 498, 500, 502, 503, 504}
_OVERLOADED = {500, 502, 504}
_REFUSED = {429, 498, 503}


class _TimedAdapter(HTTPAdapter):
    """Over connections that give up a request after `request_s`."""

    def __init__(self, request_s: float, **options: Any) -> None:
        self._pools = time_pools({"http": HTTPConnectionPool, "https": HTTPSConnectionPool}, request_s)
        super().__init__(**options)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        manager: PoolManager = self.poolmanager
        manager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **options: Any) -> ProxyManager:
        manager: ProxyManager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = self._pools
        return manager


def make_session(retries: int = 4, request_s: float = REQUEST_S, *, posts: bool = False) -> requests.Session:
    """A session that tries again a few times, honours Retry-After and says who asks.

    request_s: seconds that one try may take, from its first byte to the answer's last. posts: a POST is tried
    again as well, as one that changes nothing may be.
    """
    retry = Retry(
        total=retries,
        allowed_methods=Retry.DEFAULT_ALLOWED_METHODS | ({"POST"} if posts else set()),
        read=min(retries, 1),  # what is slow once is slow again
        backoff_factor=0.5,
        backoff_jitter=0.5,
        status_forcelist=_TRANSIENT,
        raise_on_status=False,
        retry_after_max=60,
    )
    session = requests.Session()
    session.trust_env = True
    session.max_redirects = _MAX_REDIRECTS
    session.headers["User-Agent"] = f"landpatch/{__version__}"
    session.headers["Accept-Encoding"] = "gzip, deflate"
    for scheme in ("http://", "https://"):
        session.mount(scheme, _TimedAdapter(request_s, max_retries=retry))
    return session


@contextmanager
def opened(
    session: requests.Session,
    method: str,
    url: str,
    what: str,
    accepted: Collection[int] = (200,),
    unreachable: type[TransientError] = TransientError,
    timeout_s: tuple[float, float] = TIMEOUT_S,
    absent: Collection[int] = (404,),
    wait_unit_s: float = 1.0,
    **request: Any,
) -> Iterator[requests.Response]:
    """An answer whose body is still to be read, within the context; its faults are errors of landpatch.

    accepted: the statuses that are no refusal. unreachable: what is raised when there is no connection.
    timeout_s: to connect, and between bytes. absent: the statuses that mean that nothing is there
    (AbsentError). wait_unit_s: what Retry-After counts in. request: as of `requests`. Raises RefusedError
    when the service asks to wait, TransientError when trying later may help (OverloadedError when asking for
    less may help too), PermanentError when not; `what` names the service for a person. None holds a query or
    a credential.
    """
    try:
        with session.request(method, url, timeout=timeout_s, stream=True, **request) as answer:
            if answer.status_code not in accepted:
                _raise_refusal(answer, what, absent, wait_unit_s)
            yield answer
    except requests.RequestException as error:
        failure = unreachable if _has_no_connection(error) else TransientError
        raise failure(f"{what} cannot be reached: {type(error).__name__}") from error
    except (HTTPError, OSError) as error:
        raise TransientError(f"{what} broke off: {type(error).__name__}") from error
    except UnicodeError as error:
        raise PermanentError(f"{what} sent headers that cannot be read") from error


def _has_no_connection(error: requests.RequestException) -> bool:
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(reason, NewConnectionError | ConnectTimeoutError)


def fetch(
    session: requests.Session,
    url: str,
    params: dict[str, str] | None,
    what: str,
    max_bytes: int,
    timeout_s: tuple[float, float] = TIMEOUT_S,
    absent: Collection[int] = (404,),
) -> bytes:
    """GET a body of at most `max_bytes`; arguments and errors as of `opened`."""
    with opened(session, "GET", url, what, timeout_s=timeout_s, absent=absent, params=params) as answer:
        return read_body(answer, what, max_bytes)


def read_body(answer: requests.Response, what: str, max_bytes: int) -> bytes:
    """A body of at most `max_bytes`, unpacked, and as long as it says.

    Raises PermanentError for a body that is too long or packed in another way than was offered.
    """
    announced = answer.headers.get("Content-Length", "")
    encoding = _read_encoding(answer)
    if encoding not in _ENCODINGS:
        raise PermanentError(f"{what} sent a body encoded as {encoding[:100]!r}")
    body = _read(answer, max_bytes)
    if len(body) > max_bytes:
        raise PermanentError(f"{what} sent more than {max_bytes} bytes")
    if announced.isdecimal() and not encoding and int(announced) != len(body):
        raise TransientError(f"{what} sent {len(body)} of {announced} bytes")
    return bytes(body)


def read_begin(answer: requests.Response, most_bytes: int) -> bytes:
    """The first bytes of a body, unpacked, for what they say of a refusal."""
    return bytes(_read(answer, most_bytes)[:most_bytes]) if _read_encoding(answer) in _ENCODINGS else b""


def _raise_refusal(
    answer: requests.Response, what: str, absent: Collection[int], wait_unit_s: float
) -> NoReturn:
    """Raise what a status that was not accepted means."""
    status = answer.status_code
    if status in _REFUSED:
        wait = answer.headers.get("Retry-After", "")
        raise RefusedError(
            f"{what} answered {status}", float(wait) * wait_unit_s if wait.isdecimal() else None
        )
    if status in _TRANSIENT:
        failure = OverloadedError if status in _OVERLOADED else TransientError
        raise failure(f"{what} answered {status}")
    begin = read_begin(answer, 200)
    refusal = AbsentError if status in absent else PermanentError
    raise refusal(f"{what} answered {status}: {begin!r}")


def _read_encoding(answer: requests.Response) -> str:
    return answer.headers.get("Content-Encoding", "").strip().lower()


def _read(answer: requests.Response, max_bytes: int) -> bytearray:
    """The body, unpacked; ends soon after `max_bytes`. In pieces, so that little is unpacked at a time."""
    body = bytearray()
    while len(body) <= max_bytes and (piece := answer.raw.read(_PIECE_BYTES, decode_content=True)):
        body += piece
    return body

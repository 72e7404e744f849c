"""Who may look at the live page: this machine, or whoever knows the token."""

from ipaddress import ip_address

from pydantic import SecretStr

from landpatch.errors import ConfigurationError

SHORTEST_TOKEN = 16


def check_access(host: str, token: SecretStr | None) -> None:
    """Raise ConfigurationError where the page would be open to others than this machine."""
    if token is not None:
        _check_token(token.get_secret_value())
    elif not is_loopback(host):
        raise ConfigurationError(
            f"the page would be open to anybody who reaches {host or 'any address of this machine'}:"
            f" set LANDPATCH_SERVE_TOKEN ({SHORTEST_TOKEN} characters or more), or --host 127.0.0.1"
        )


def _check_token(token: str) -> None:
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigurationError(
            f"LANDPATCH_SERVE_TOKEN is at least {SHORTEST_TOKEN} letters, digits and signs without a space,"
            " such as `openssl rand -hex 24` gives"
        )


def is_loopback(host: str) -> bool:
    """Whether a name or an address is that of this machine alone."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False

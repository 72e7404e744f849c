"""`landpatch serve`: the live page."""

import socket
from contextlib import suppress
from urllib.parse import urlencode

import click

from landpatch.commands.entry import one_line
from landpatch.embedded import complete_settings
from landpatch.errors import ConfigurationError, RequestError
from landpatch.layout import NUTS3_PATTERN
from landpatch.settings import Settings
from landpatch.watch.access import check_access

MOST_CONNECTIONS = 256
"""At a time; beyond that, answers are refused."""


@click.command()
@click.argument("nuts", nargs=-1)
@click.option("--year", type=int, default=2021, show_default=True)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Where to listen; else set LANDPATCH_SERVE_TOKEN."
)
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=8484, show_default=True, help="0: any that is free."
)
@one_line
def serve(nuts: tuple[str, ...], year: int, host: str, port: int) -> None:
    """Serve a live page of what the workers do: a map of each region, its patches by their state.

    NUTS: regions to begin with, such as FR101 LU000; those that are being built when none is named.
    """
    codes = [code.strip().upper() for code in nuts]
    for code in codes:
        if not NUTS3_PATTERN.fullmatch(code):
            raise RequestError(f"{code!r} is not a NUTS3 code: five characters, such as FR101 or LU000")
    settings = complete_settings()
    check_access(host, settings.serve_token)
    query = urlencode([("region", f"{code}/{year}") for code in codes], safe="/")
    run_server(settings, host, port, query)


def run_server(settings: Settings, host: str, port: int, query: str = "") -> None:
    """Serve until told to stop. query: of the address that is shown.

    Raises ConfigurationError where that cannot be.
    """
    try:
        import uvicorn  # noqa: PLC0415  # of the extra `serve`

        from landpatch.watch.app import make_app  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"{error.name} is not installed: pip install 'landpatch[serve]'") from None
    app = make_app(settings, lambda: server.should_exit)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)
    with _listen(host, port) as listener:
        name = f"[{host}]" if ":" in host else host
        address = f"http://{name}:{listener.getsockname()[1]}/{f'?{query}' if query else ''}"
        asks = "; it asks for LANDPATCH_SERVE_TOKEN" if settings.serve_token else ""
        click.echo(f"the regions can be watched at {address}{asks} (Ctrl-C ends it)", err=True)
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][
            0
        ]
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise ConfigurationError(
            f"nobody can listen at {host}:{port} ({error.strerror}); choose another with --host or --port"
        ) from error

"""The command line: `landpatch region FR101`."""

import click

from landpatch import __version__
from landpatch.commands.completion import completion
from landpatch.commands.locate import locate
from landpatch.commands.map import draw_map
from landpatch.commands.plan import plan
from landpatch.commands.preview import preview
from landpatch.commands.region import region
from landpatch.commands.regions import regions
from landpatch.commands.report import report
from landpatch.commands.retry import retry
from landpatch.commands.serve import serve
from landpatch.commands.status import status
from landpatch.commands.verify import verify
from landpatch.gdal import restrict_drivers
from landpatch.log import configure_logging


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="landpatch")
def main() -> None:
    """Build land-cover training sets: Sentinel-2 images with CLC+ labels, for any NUTS3 region."""
    configure_logging()
    restrict_drivers()


_COMMANDS: tuple[click.Command, ...] = (
    region, plan, status, retry, verify, locate, regions, preview, draw_map, report, serve, completion,
)  # fmt: skip
for command in _COMMANDS:
    main.add_command(command)


if __name__ == "__main__":
    main()

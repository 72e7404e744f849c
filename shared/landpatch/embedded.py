"""The settings to work with: what is set, and the embedded stack for whatever is not."""

from landpatch.errors import ConfigurationError
from landpatch.settings import Settings, load_settings


def complete_settings(*, required: bool = True) -> Settings:
    """The settings, with the embedded stack standing in for whatever is not set; it is started.

    required: raise ConfigurationError where something is not set and there is no embedded stack, as where
    the library alone is installed; else it stays unset. Raises InfrastructureError when the stack does not
    start.
    """
    settings = load_settings()
    if settings.redis_url and settings.store_endpoint and settings.has_account:
        return settings
    try:
        from services.stack import start_for  # noqa: PLC0415  # only a checkout has it
    except ImportError:
        if not required:
            return settings
        raise ConfigurationError(
            "the embedded stack needs a checkout of the project; or set LANDPATCH_REDIS_URL, "
            "AWS_S3_ENDPOINT and the credentials of the image source (see .env.example)"
        ) from None
    if not required and settings.redis_url is not None:
        return settings  # what runs elsewhere has no embedded parts
    return start_for(settings)


def reading_settings() -> Settings:
    """The settings to look at what is stored: where the destination store is set, nothing is started.

    Raises as `complete_settings` does.
    """
    settings = load_settings()
    return complete_settings() if settings.store_endpoint is None else settings

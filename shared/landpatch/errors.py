"""The errors of landpatch, named by what is done with them.

    LandpatchError
    ├── TransientError        the queue tries again later
    │   ├── OverloadedError   a smaller request may be answered
    │   └── RefusedError      the whole account has to wait
    ├── PermanentError        recorded with its reason; the work goes on without
    │   ├── AbsentError       what was asked for is not there
    │   └── TooLargeError     a smaller request will be answered
    └── ConfigurationError    stops at the start; the user mends the request or the settings
        ├── DestinationError  the destination store refuses; later on, a region waits for it as for an outage
        ├── RequestError      the request itself is wrong
        └── MissingExtraError an optional library is not installed
    InfrastructureError is a TransientError: Redis or the store cannot be reached.

Third-party exceptions are translated where they enter: no module but the one that talks to a
service knows that service's exceptions.
"""


class LandpatchError(Exception):
    """Base of all errors that landpatch raises on purpose; its text is one line for a person."""


class TransientError(LandpatchError):
    """May pass by itself: time-outs, throttling, a server that is restarting."""


class OverloadedError(TransientError):
    """The service failed over this request, perhaps because it was too much at once."""


class RefusedError(TransientError):
    """The service asks the account to wait."""

    def __init__(self, message: str, wait_s: float | None = None) -> None:
        """wait_s: for how many seconds, where it says so."""
        super().__init__(message)
        self.wait_s = wait_s


class InfrastructureError(TransientError):
    """Redis or the destination store cannot be reached."""


class PermanentError(LandpatchError):
    """Will not pass by itself: a broken file, an answer in another format, a code that is unknown."""


class AbsentError(PermanentError):
    """What was asked for is not there."""


class TooLargeError(PermanentError):
    """More was asked for at once than the service gives."""


class ConfigurationError(LandpatchError):
    """The settings are wrong: a bucket that does not exist, credentials that are refused."""


class DestinationError(ConfigurationError):
    """The destination store refuses: its bucket, or the credentials, which may also have expired."""


class RequestError(ConfigurationError):
    """What the user asked for is wrong: an unknown region, a year without Sentinel-2."""


class MissingExtraError(ConfigurationError, ImportError):
    """An optional library is not installed; the text says which extra brings it."""

"""The errors with which the bridge refuses something, and their words."""


class ConfigurationError(Exception):
    """The bridge cannot start with these settings. The message is for the person at the terminal."""


class RefusedError(Exception):
    """A command is refused. `status` is the HTTP status, `message` goes into {"error": message}.
    `retry_after` is in seconds, for a command that is worth repeating."""

    def __init__(self, status: int, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after = retry_after

"""What the bridge refuses, and with which words."""


class ConfigurationError(Exception):
    """The bridge cannot start like this. The message is for the person at the terminal."""


class RefusedError(Exception):
    """A command is refused. `status` is the HTTP status, `message` goes into {"error": message}.
    `retry_after`: seconds, where it is worth asking again."""

    def __init__(self, status: int, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after = retry_after

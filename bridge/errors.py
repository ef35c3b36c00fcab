"""What the bridge refuses, and with which words."""


class ConfigurationError(Exception):
    """The bridge cannot start like this. The message is for the person at the terminal."""


class RefusedError(Exception):
    """A command is refused. `status` is the HTTP status, `message` goes into {"error": message}."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message

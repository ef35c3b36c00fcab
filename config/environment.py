"""Environment variables: an empty one counts as unset, and an unreadable one stops the start with a clear message."""

from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

NO = ("false", "off", "no", "n", "0")


class Environment(environ.Env):  # type: ignore[misc]  # the library ships no types
    def get_value(self, var: str, cast: Any = None, default: Any = environ.Env.NOTSET, **kwargs: Any) -> Any:
        """Raises ImproperlyConfigured, also where there is no default."""
        said = self.ENVIRON.get(var, "").strip()
        if not said and default is not self.NOTSET:
            return default
        if cast is bool and said.lower() not in (*self.BOOLEAN_TRUE_STRINGS, *NO, "1"):
            raise ImproperlyConfigured(f"{var} must be true or false, not {said!r}.")
        try:
            return super().get_value(var, cast, default, **kwargs)
        except ValueError as error:
            raise ImproperlyConfigured(f"{var} must be a whole number, not {said!r}.") from error

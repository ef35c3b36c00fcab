"""The first steps of `make run`, in one process: to load the apps takes longer than both."""

import os

import django
from django.core.management import call_command


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    call_command("migrate", skip_checks=True, verbosity=0)
    call_command("demo")


if __name__ == "__main__":
    main()

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = "Linking"

    def ready(self) -> None:
        from accounts.db import system_checks  # noqa: F401  # registers them
        from accounts.jobs.progress import tell_watchdog

        tell_watchdog()
        post_migrate.connect(synchronise_schedules, sender=self)


def synchronise_schedules(**_: Any) -> None:
    from accounts.jobs.schedules import synchronise  # late: models load after the apps

    synchronise()

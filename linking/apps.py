from django.apps import AppConfig

from linking import redaction


class LinkingConfig(AppConfig):
    name = "linking"
    verbose_name = "Linking"

    def ready(self) -> None:
        redaction.install()

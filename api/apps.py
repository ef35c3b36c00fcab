from django.apps import AppConfig

from api.http import access_log


class ApiConfig(AppConfig):
    name = "api"
    verbose_name = "API"

    def ready(self) -> None:
        access_log.install()
        import api.openapi  # noqa: F401  # tells the schema about our credentials

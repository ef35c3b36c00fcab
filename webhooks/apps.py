from django.apps import AppConfig


class WebhooksConfig(AppConfig):
    name = "webhooks"
    verbose_name = "Inbox"

    def ready(self) -> None:
        from webhooks import openapi, openapi_credentials  # noqa: F401  # the second registers its classes

        openapi.describe()

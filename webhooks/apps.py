from django.apps import AppConfig


class WebhooksConfig(AppConfig):
    name = "webhooks"
    verbose_name = "Inbox"

    def ready(self) -> None:
        from webhooks import openapi

        openapi.describe()

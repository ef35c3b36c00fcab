"""Below /api/v1/whatsapp/: the one path that a bridge calls without any credential."""

from django.urls import path

from webhooks.views.reports import MobileActivity

urlpatterns = [path("webhook", MobileActivity.as_view())]

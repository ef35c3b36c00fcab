"""Below /api/whatsapp/. No trailing slashes and no redirects: a bridge would lose the body."""

from django.urls import path

from webhooks.views.sessions import ActiveAccounts, MarkDisconnectedView
from webhooks.views.webjs import WebjsWebhook

urlpatterns = [
    path("webhooks/webjs", WebjsWebhook.as_view()),
    path("accounts/active", ActiveAccounts.as_view()),
    path("sessions/<str:session_id>/mark-disconnected", MarkDisconnectedView.as_view()),
    path("accounts/<str:session_id>/mark-disconnected", MarkDisconnectedView.as_view()),
]

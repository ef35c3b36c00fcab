"""Below /api/whatsapp/. No trailing slashes and no redirects: a bridge would lose the body."""

from django.urls import path

from webhooks.bridge_api.views.batch import WebhookBatch
from webhooks.bridge_api.views.cleanup import AccountsForCleanup, CleanUp, CleanupLogs, CleanUpStale, CleanupStats
from webhooks.bridge_api.views.heartbeat import HeartbeatView
from webhooks.bridge_api.views.reports import ChatsSync
from webhooks.bridge_api.views.sessions import AccountBySession, AccountStatus, ActiveAccounts, MarkDisconnectedView
from webhooks.bridge_api.views.webjs import WebjsWebhook

urlpatterns = [
    path("webhooks/webjs", WebjsWebhook.as_view()),
    path("webhooks/batch", WebhookBatch.as_view()),
    path("chats/sync", ChatsSync.as_view()),
    path("bridges/heartbeat", HeartbeatView.as_view()),
    path("accounts/active", ActiveAccounts.as_view()),
    path("accounts/cleanup", CleanUp.as_view()),
    path("accounts/cleanup-stale", CleanUpStale.as_view()),
    path("accounts-for-cleanup", AccountsForCleanup.as_view()),
    path("cleanup-logs", CleanupLogs.as_view()),
    path("cleanup-stats", CleanupStats.as_view()),
    path("accounts/by-session/<str:session_id>", AccountBySession.as_view()),
    path("accounts/<str:key>/status", AccountStatus.as_view()),
    path("sessions/<str:session_id>/mark-disconnected", MarkDisconnectedView.as_view()),
    path("accounts/<str:session_id>/mark-disconnected", MarkDisconnectedView.as_view()),
]

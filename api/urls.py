"""Paths below /api/whatsapp/. They are exact, as those for bridges."""

from django.urls import path

from api import views

urlpatterns = [
    path("pair", views.PairView.as_view()),
    path("status", views.StatusView.as_view()),
    path("reset", views.ResetView.as_view()),
    path("accounts/generate-qr", views.FreshCodeView.as_view()),
    path("health", views.HealthView.as_view()),
]

from django.urls import path

from linking import views

app_name = "linking"
urlpatterns = [
    path("<str:token>/", views.page, name="page"),
    path("<str:token>", views.complete),
    path("<str:token>/start", views.start, name="start"),
    path("<str:token>/code", views.ask_code, name="code"),
    path("<str:token>/snapshot", views.snapshot, name="snapshot"),
    path("<str:token>/qr.png", views.qr_png, name="qr"),
]

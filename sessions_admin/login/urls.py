from django.contrib import admin
from django.urls import path

from sessions_admin.login import own, recovery_codes, steps

CODES = admin.site.admin_view(recovery_codes.show)
PAGES = "sessions_admin/login"

app_name = "login"
urlpatterns = [
    path("login/", steps.LogIn.as_view(), name="log_in"),
    path("login/second-step/", steps.SecondStep.as_view(), name="second_step"),
    path("login/set-up/", steps.SetUp.as_view(), name="set_up"),
    path("login/recovery-codes/", CODES, {"template": f"{PAGES}/recovery_codes.html"}, name="recovery_codes"),
    path("logout/", steps.log_out, name="log_out"),
    path("password_change/", admin.site.admin_view(own.change_password), name="password"),
    path("second-factor/", admin.site.admin_view(own.SecondFactor.as_view()), name="own"),
    path("second-factor/set-up/", admin.site.admin_view(own.SetUp.as_view()), name="own_set_up"),
    path("second-factor/codes/", CODES, {"template": f"{PAGES}/own_recovery_codes.html"}, name="own_recovery_codes"),
]

"""Members of the staff, their phones, and how they log in."""

import time
from typing import Any

from django.contrib.auth.models import Group, Permission
from django.test import Client
from django_otp.oath import TOTP
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts.access import second_factor
from accounts.models import RolePolicy, User

PASSWORD = "correct horse battery"
LOGIN, STEP, SET_UP, OWN = "/admin/login/", "/admin/login/second-step/", "/admin/login/set-up/", "/admin/second-factor/"
FAST = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # PASSWORD_HASHERS where a test logs in many times


def staff(name: str, *labels: str, role: str = "", **values: Any) -> User:
    """Somebody with PASSWORD and these permissions ("accounts.view_account"), who sees all workspaces."""
    values = {"is_staff": True, "all_workspaces": True} | values
    user = User.objects.create_user(name, password=PASSWORD, **values)
    for label in labels:
        app, codename = label.split(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
    if role:
        user.groups.add(Group.objects.get(name=role))
    return user


def app_of(user: User) -> TOTPDevice:
    """An app that is set up, of which no code was used yet."""
    app: TOTPDevice = TOTPDevice.objects.create(user=user, name="app", key=second_factor.new_key())
    return app


def code_of(key: str, later: int = 0) -> str:
    """What the app shows now, or after that many steps of 30 seconds; the desk takes one step too early or late."""
    totp = TOTP(bytes.fromhex(key))
    totp.time = time.time() + 30 * later
    return f"{totp.token():06d}"


def demand(role: str = "Support") -> None:
    RolePolicy.objects.create(group=Group.objects.get(name=role), second_factor=True)


def log_in(client: Client, name: str, password: str = PASSWORD, *, address: str = "127.0.0.1") -> Any:
    return client.post(LOGIN, {"username": name, "password": password}, REMOTE_ADDR=address)


def gets_in(client: Client, name: str, password: str = PASSWORD, *, address: str = "127.0.0.1") -> bool:
    return bool(log_in(client, name, password, address=address).status_code == 302)


def counts(client: Client) -> bool:
    """Whether the admin takes this client for somebody."""
    return client.get("/admin/").status_code == 200

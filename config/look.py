"""How the admin looks: django-unfold with our colours and our mark."""

from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _

UNFOLD = {
    "SITE_TITLE": "Linkdesk",
    "SITE_HEADER": "Linkdesk",
    "SITE_URL": None,
    "SITE_ICON": lambda request: static("linking/mark.svg"),
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("linking/mark.svg")}],
    "SCRIPTS": [lambda request: static("sessions_admin/focus.js")],
    "STYLES": [lambda request: static("sessions_admin/admin.css")],
    "ENVIRONMENT": "sessions_admin.navigation.environment",
    "DASHBOARD_CALLBACK": "sessions_admin.pages.dashboard.context",
    "SIDEBAR": {"show_search": True, "navigation": "sessions_admin.navigation.sidebar"},
    "ACCOUNT": {
        "navigation": [
            {"title": _("Change password"), "link": reverse_lazy("admin:password_change")},
            {"title": _("Second factor"), "link": reverse_lazy("login:own")},
        ]
    },
    "BORDER_RADIUS": "8px",
    "COLORS": {  # ground, line, muted, ink and surface; then the accent, 600 on white and 500 in the dark
        "base": {
            "50": "#f6f8fa",
            "100": "#f1f5f9",
            "200": "#e2e8f0",
            "300": "#cbd5e1",
            "400": "#94a3b8",
            "500": "#64748b",
            "600": "#475569",
            "700": "#334155",
            "800": "#1f2a3d",
            "900": "#0b1220",
            "950": "#060b14",
        },
        "primary": {
            "50": "#f0fdfa",
            "100": "#ccfbf1",
            "200": "#99f6e4",
            "300": "#5eead4",
            "400": "#2dd4bf",
            "500": "#2dd4bf",
            "600": "#0f766e",
            "700": "#115e59",
            "800": "#134e4a",
            "900": "#0c3f3c",
            "950": "#042f2e",
        },
    },
}

"""How staff log in: settings that no environment changes."""

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
SESSION_COOKIE_AGE = 8 * 3600  # seconds after its last write; accounts/access/sessions.py knows what a person did
OTP_TOTP_ISSUER = "Linkdesk"  # what the app on the phone shows beside the name
# Wrong codes have budgets (sessions_admin/login/limits.py). The library's own delay would lock the person out together
# with whoever knows their password and guesses codes.
OTP_TOTP_THROTTLE_FACTOR = OTP_STATIC_THROTTLE_FACTOR = 0

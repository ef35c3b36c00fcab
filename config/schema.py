"""How the API describes itself at /api/schema/ and /api/docs/."""

SPECTACULAR_SETTINGS = {
    "TITLE": "Linkdesk",
    "DESCRIPTION": "The control desk for linking WhatsApp accounts: what operators and their systems ask, what bridges "
    "report. Every error has the form of `Error`; its `code` is stable.",
    "VERSION": "1",
    "SCHEMA_PATH_PREFIX": "/api/whatsapp",
    "SERVE_AUTHENTICATION": [],
    "SERVE_INCLUDE_SCHEMA": False,
    "DISABLE_DOCSTRING_DESCRIPTIONS": True,  # docstrings are for people who work on the code
    "COMPONENT_SPLIT_REQUEST": True,
    "PARSER_WHITELIST": ["rest_framework.parsers.JSONParser"],
    "ENUM_NAME_OVERRIDES": {
        "PairingStatus": "api.serializers.PAIRING_STATES",
        "AccountStatus": "api.serializers.STATES",
        "LaneStateName": "api.serializers.WORKER_STATES",
        "BridgeStateName": "api.serializers.BRIDGE_STATES",
    },
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

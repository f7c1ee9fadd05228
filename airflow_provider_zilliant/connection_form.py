"""The connection form, told once: as metadata for newer Airflows and as widgets for older ones."""

from __future__ import annotations

from typing import Any

HIDDEN_FIELDS = ["schema"]

RELABELING = {
    "host": "Host (base URL)",
    "login": "Salesforce user (login mode)",
    "password": "Token response, or Salesforce password",
}

PLACEHOLDERS = {
    "host": "https://mycompany.zilliant.com",
    "login": "empty, unless Client id is given",
    "password": '{"access_token": ..., "instance_url": ...}, or its Base64',
    "oauth_host": "mycompany-dev.my.salesforce.com",
    "login_url": "https://login.salesforce.com",
}

#: name: (label, description, JSON schema)
FIELDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "oauth_host": (
        "OAuth host",
        "Sent as X-Forwarded-Host: the environment's OAuth host, such as mycompany-dev.my.salesforce.com. "
        "Needed from outside Zilliant's network.",
        {"type": ["string", "null"]},
    ),
    "client_id": (
        "Client id (login mode)",
        "Given: the provider logs in itself with Salesforce user, password, client id and client secret. "
        "Empty: Password holds the token response.",
        {"type": ["string", "null"]},
    ),
    "client_secret": (
        "Client secret (login mode)",
        "The secret that belongs to the client id.",
        {"type": ["string", "null"], "format": "password"},
    ),
    "login_url": (
        "Login URL (login mode)",
        "https://login.salesforce.com, which is the default, or https://test.salesforce.com for a sandbox.",
        {"type": ["string", "null"]},
    ),
    "verify": (
        "Verify TLS",
        "true (the default), false, or the path of a CA bundle.",
        {"type": ["string", "null"]},
    ),
    "proxies": (
        "Proxies",
        'As JSON, such as {"https": "http://proxy:3128"}. The proxy environment variables count as well.',
        {"type": ["string", "null"]},
    ),
    "allow_http": (
        "Allow plain http",
        "Plain http is refused for any host but this machine, unless this is on.",
        {"type": ["boolean", "null"]},
    ),
}


def conn_fields() -> dict[str, Any]:
    """The fields of Extra, as ``get_provider_info()`` gives them."""
    return {
        name: {"label": label, "description": description, "schema": schema}
        for name, (label, description, schema) in FIELDS.items()
    }


def ui_field_behaviour() -> dict[str, Any]:
    """What the form hides, how it labels, and what it shows as examples."""
    return {"hidden_fields": HIDDEN_FIELDS, "relabeling": RELABELING, "placeholders": PLACEHOLDERS}


def widgets() -> dict[str, Any]:
    """The fields of Extra as wtforms fields, for Airflows whose form asks the hook."""
    from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
    from flask_babel import lazy_gettext
    from wtforms import BooleanField, PasswordField, StringField

    def widget(label: str, description: str, schema: dict[str, Any]) -> Any:
        if "boolean" in schema["type"]:
            return BooleanField(lazy_gettext(label), description=description)
        if schema.get("format") == "password":
            return PasswordField(lazy_gettext(label), widget=BS3PasswordFieldWidget(), description=description)
        return StringField(lazy_gettext(label), widget=BS3TextFieldWidget(), description=description)

    return {name: widget(*field) for name, field in FIELDS.items()}

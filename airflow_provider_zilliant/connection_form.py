"""The connection form, told once: as metadata for newer Airflows and as widgets for older ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

#: Host is a whole URL, which says the scheme.
HIDDEN_FIELDS = ["schema"]

RELABELING = {
    "host": "Host (base URL)",
    "login": "Salesforce user",
    "password": "Token response, or Salesforce password",
}

LOGIN_MODE = "Login mode"
NETWORK = "Network"


@dataclass(frozen=True)
class Field:
    """A field of Extra.

    :param label: what stands beside it.
    :param description: what stands below it.
    :param section: the heading under which newer Airflows fold it away; older ones have no such thing.
    :param kind: JSON type of its value.
    :param is_secret: whether the form hides what is typed. Airflow masks a stored value by the field's
        *name*, so a secret needs one that Airflow knows: ``client_secret``, ``proxies``.
    :param placeholder: an example to show in the empty field; newer Airflows have none for Extra.
    :param suggestions: values that newer Airflows offer while one types.
    """

    label: str
    description: str
    section: str | None = None
    kind: str = "string"
    is_secret: bool = False
    placeholder: str | None = None
    suggestions: tuple[str, ...] = ()

    def as_metadata(self) -> dict[str, Any]:
        """The field as one of ``conn-fields``."""
        schema: dict[str, Any] = {"type": [self.kind, "null"]}
        if self.is_secret:
            schema["format"] = "password"
        if self.section:
            schema["section"] = self.section
        if self.suggestions:
            schema["examples"] = list(self.suggestions)
        return {"label": self.label, "description": self.description, "schema": schema}


FIELDS = {
    "oauth_host": Field(
        "OAuth host",
        "The environment's OAuth host, such as mycompany-dev.my.salesforce.com: the host of the token response's "
        "instance_url. Needed from outside Zilliant's network.",
        placeholder="mycompany-dev.my.salesforce.com",
    ),
    "client_id": Field(
        "Client id",
        "Of the connected app in Salesforce. With it, the provider logs in by itself, with Salesforce user and "
        "password. Empty: the password field holds a token response.",
        section=LOGIN_MODE,
        placeholder="only to log in with user and password",
    ),
    "client_secret": Field(
        "Client secret",
        "The secret that belongs to the client id.",
        section=LOGIN_MODE,
        is_secret=True,
    ),
    "login_url": Field(
        "Login URL",
        "https://login.salesforce.com unless given; https://test.salesforce.com for a Salesforce sandbox.",
        section=LOGIN_MODE,
        placeholder="https://login.salesforce.com",
        suggestions=("https://login.salesforce.com", "https://test.salesforce.com"),
    ),
    "verify": Field(
        "Verify TLS",
        "true (unless given), false, or the path of a CA bundle on every machine of Airflow.",
        section=NETWORK,
        placeholder="true",
        suggestions=("true", "false", "/etc/ssl/certs/ca-certificates.crt"),
    ),
    "proxies": Field(
        "Proxies",
        'JSON, such as {"https": "http://proxy:3128"}. The proxy environment variables count as well. Hidden, as a '
        "proxy's URL may hold a password.",
        section=NETWORK,
        is_secret=True,
        placeholder='{"https": "http://proxy:3128"}',
    ),
    "allow_http": Field(
        "Allow plain http",
        "Plain http to any other host than this machine is refused unless this is on.",
        section=NETWORK,
        kind="boolean",
    ),
}

PLACEHOLDERS = {
    "host": "https://mycompany.zilliant.com",
    "login": "empty, unless a Client id is given",
    "password": '{"access_token": ..., "instance_url": ...}, or its Base64',
    # Without a port, Airflow 3.3's list of connections sends port 0 to the test, which takes that for another
    # address than the stored one and refuses before it asks the hook.
    "port": "443 (without one, Airflow 3.3 refuses to test: Bad Request)",
    **{name: field.placeholder for name, field in FIELDS.items() if field.placeholder},
}


def conn_fields() -> dict[str, Any]:
    """The fields of Extra, as ``get_provider_info()`` gives them."""
    return {name: field.as_metadata() for name, field in FIELDS.items()}


def ui_field_behaviour() -> dict[str, Any]:
    """What the form hides, how it labels, and what it shows as examples."""
    return {"hidden_fields": HIDDEN_FIELDS, "relabeling": RELABELING, "placeholders": PLACEHOLDERS}


def widgets() -> dict[str, Any]:
    """The fields of Extra as wtforms fields, for Airflows whose form asks the hook."""
    from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
    from flask_babel import lazy_gettext
    from wtforms import BooleanField, PasswordField, StringField

    def widget(field: Field) -> Any:
        suffix = f" ({field.section.lower()})" if field.section == LOGIN_MODE else ""
        label = lazy_gettext(field.label + suffix)
        if field.kind == "boolean":
            return BooleanField(label, description=field.description)
        if field.is_secret:
            return PasswordField(label, widget=BS3PasswordFieldWidget(), description=field.description)
        return StringField(label, widget=BS3TextFieldWidget(), description=field.description)

    return {name: widget(field) for name, field in FIELDS.items()}

"""The connection form in Airflow's UI: which fields it shows, their labels, headings and help texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

#: Host is a whole URL, scheme included.
HIDDEN_FIELDS = ["schema"]

RELABELING = {
    "host": "Host (base URL)",
    "login": "Salesforce user",
    "password": "Token response, or Salesforce password",
}

LOGIN, CLIENT_CREDENTIALS, JWT_BEARER = "Login", "Login: client credentials, or user and password", "Login: JWT bearer"
NETWORK = "Network"


@dataclass(frozen=True)
class Field:
    """A field of Extra.

    :param label: the text beside it.
    :param description: the text below it.
    :param section: the heading under which newer Airflows fold it away; older ones have no headings.
    :param kind: JSON type of its value.
    :param is_secret: whether the form hides what is typed. Airflow masks a stored value by the field's
        *name*, so a secret needs a name that Airflow knows: ``client_secret``, ``private_key``, ``proxies``.
    :param has_lines: whether the text may have several lines. A newer Airflow then shows what is typed, but a
        stored secret masked, like any other; an older one hides it, and drops the newlines.
    :param placeholder: an example to show in the empty field; newer Airflows show none for Extra.
    :param suggestions: values that newer Airflows offer while the user types.
    """

    label: str
    description: str
    section: str | None = None
    kind: str = "string"
    is_secret: bool = False
    has_lines: bool = False
    placeholder: str | None = None
    suggestions: tuple[str, ...] = ()

    def as_metadata(self) -> dict[str, Any]:
        """The field as one of ``conn-fields``."""
        schema: dict[str, Any] = {"type": [self.kind, "null"]}
        if self.is_secret or self.has_lines:
            schema["format"] = "multiline" if self.has_lines else "password"
        if self.section:
            schema["section"] = self.section
        if self.suggestions:
            schema["examples"] = list(self.suggestions)
        return {"label": self.label, "description": self.description, "schema": schema}


FIELDS = {
    "oauth_host": Field(
        "OAuth host",
        "The environment's OAuth host, like mycompany-dev.my.salesforce.com: the host of the token response's "
        "instance_url. Needed from outside Zilliant's network.",
        placeholder="mycompany-dev.my.salesforce.com",
    ),
    "client_id": Field(
        "Client id",
        "Consumer key of the app in Salesforce. If set, the provider logs in itself; which way follows from the other "
        "fields that are filled. If empty, the password field holds a token response.",
        section=LOGIN,
        placeholder="only to log in",
    ),
    "login_url": Field(
        "Login URL",
        "Client credentials: the org's My Domain; defaults to the OAuth host. Otherwise defaults to "
        "https://login.salesforce.com; use https://test.salesforce.com for a Salesforce sandbox.",
        section=LOGIN,
        placeholder="https://login.salesforce.com",
        suggestions=("https://login.salesforce.com", "https://test.salesforce.com"),
    ),
    "client_secret": Field(
        "Client secret",
        "Consumer secret of the app. Alone with the client id: client credentials. Together with Salesforce user and "
        "password as well: user and password, which Salesforce is retiring.",
        section=CLIENT_CREDENTIALS,
        is_secret=True,
    ),
    "private_key": Field(
        "Private key",
        "PEM text of the RSA key whose certificate the app in Salesforce has. Needs the client id and the Salesforce "
        "user, and neither password nor client secret.",
        section=JWT_BEARER,
        is_secret=True,
        has_lines=True,
    ),
    "private_key_passphrase": Field(
        "Passphrase",
        "Only for a private key that is encrypted.",
        section=JWT_BEARER,
        is_secret=True,
    ),
    "audience": Field(
        "Audience",
        "Defaults to https://login.salesforce.com, or https://test.salesforce.com for a Salesforce sandbox. An "
        "Experience Cloud site needs its own URL.",
        section=JWT_BEARER,
        placeholder="https://login.salesforce.com",
        suggestions=("https://login.salesforce.com", "https://test.salesforce.com"),
    ),
    "verify": Field(
        "Verify TLS",
        "true (the default), false, or the path of a CA bundle on every Airflow machine.",
        section=NETWORK,
        placeholder="true",
        suggestions=("true", "false", "/etc/ssl/certs/ca-certificates.crt"),
    ),
    "proxies": Field(
        "Proxies",
        'JSON, like {"https": "http://proxy:3128"}. The proxy environment variables apply as well. Hidden, because a '
        "proxy's URL may contain a password.",
        section=NETWORK,
        is_secret=True,
        placeholder='{"https": "http://proxy:3128"}',
    ),
    "allow_http": Field(
        "Allow plain http",
        "Unless this is on, plain http is refused for every host except this machine.",
        section=NETWORK,
        kind="boolean",
    ),
}

PLACEHOLDERS = {
    "host": "https://mycompany.zilliant.com",
    "login": "to log in with JWT bearer, or with a password",
    "password": '{"access_token": ..., "instance_url": ...}, or its Base64',
    # Without a port, Airflow 3.3's list of connections sends port 0 to the test. That differs from the stored
    # address, so Airflow refuses before it asks the hook.
    "port": "443 (without one, Airflow 3.3 refuses to test: Bad Request)",
    **{name: field.placeholder for name, field in FIELDS.items() if field.placeholder},
}


def conn_fields() -> dict[str, Any]:
    """The fields of Extra, as ``get_provider_info()`` gives them."""
    return {name: field.as_metadata() for name, field in FIELDS.items()}


def ui_field_behaviour() -> dict[str, Any]:
    """What the form hides, its labels and its examples."""
    return {"hidden_fields": HIDDEN_FIELDS, "relabeling": RELABELING, "placeholders": PLACEHOLDERS}


def widgets() -> dict[str, Any]:
    """The fields of Extra as wtforms fields, for Airflows whose form asks the hook."""
    from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
    from flask_babel import lazy_gettext
    from wtforms import BooleanField, PasswordField, StringField

    def widget(field: Field) -> Any:
        _, _, way = (field.section or "").partition(": ")
        suffix = f" ({way})" if way else ""
        label = lazy_gettext(field.label + suffix)
        if field.kind == "boolean":
            return BooleanField(label, description=field.description)
        if field.is_secret:
            return PasswordField(label, widget=BS3PasswordFieldWidget(), description=field.description)
        return StringField(label, widget=BS3TextFieldWidget(), description=field.description)

    return {name: widget(field) for name, field in FIELDS.items()}

"""Parses and checks the addresses that Host, ``login_url`` and ``proxies`` hold."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from airflow_provider_zilliant.exceptions import ZilliantConfigError

_EXAMPLES = {"Host": "https://mycompany.zilliant.com"}


def parse_origin(text: str, field_name: str, *, default_scheme: str, allow_http: bool, port: int | None = None) -> str:
    """``scheme://host[:port]``.

    :param field_name: the Connection's field that holds the text.
    :param port: from a field of its own.
    :raises ZilliantConfigError: naming the field that is wrong.
    """
    example = _EXAMPLES.get(field_name, "https://login.salesforce.com")
    if any(character.isspace() or not character.isprintable() for character in text):
        raise ZilliantConfigError(f"{field_name}: contains white space, a newline or another control character")
    text = _bracket(text)
    try:
        url = urlsplit(text if "://" in text else f"{default_scheme}://{text}")
        url_port, hostname = url.port, url.hostname
    except ValueError:
        raise ZilliantConfigError(f"{field_name}: not a URL; expected one like {example}") from None
    if "@" in url.netloc:
        raise ZilliantConfigError(
            f"{field_name}: contains credentials (user:password@). Remove them and use Login, Password and Extra. "
            "Airflow has stored this field in plain text: treat those credentials as leaked, and change them."
        )
    if url.scheme not in ("http", "https") or not hostname or set("\\<>\"'{}|^`,;") & set(hostname):
        raise ZilliantConfigError(f"{field_name}: expected a URL like {example}")
    if url.path not in ("", "/") or url.query or url.fragment or "?" in text or "#" in text:
        raise ZilliantConfigError(f"{field_name}: has a path or a query; expected the bare address, like {example}")
    port = port or None  # Airflow's forms and URIs use 0 for none
    if port is not None and url_port is not None and port != url_port:
        raise ZilliantConfigError(f"Port: {port} conflicts with port {url_port} in {field_name}; remove one of them")
    port = port if port is not None else url_port
    if port is not None and not 0 < port < 65536:
        raise ZilliantConfigError(f"Port: expected 1 to 65535, not {port}")
    if url.scheme == "http" and not allow_http and not _is_loopback(hostname):
        raise ZilliantConfigError(
            f"{field_name}: plain http would send the token in clear text. Use https, or set Extra allow_http to true "
            "if the network is safe."
        )
    shown = f"[{hostname}]" if ":" in hostname else hostname
    is_default = port is None or port == {"https": 443, "http": 80}[url.scheme]
    return f"{url.scheme}://{shown}" + ("" if is_default else f":{port}")


def is_proxy(url: object) -> bool:
    """Whether worker and triggerer can both use it as a proxy."""
    if not isinstance(url, str) or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port_is_good = parts.port is None or parts.port > 0
    except ValueError:
        return False
    is_bare = parts.path in ("", "/") and not parts.query and not parts.fragment
    return bool(parts.hostname) and port_is_good and is_bare and parts.scheme in ("http", "https")


def parse_hostname(url: str) -> str | None:
    """The host name in a URL, with or without a scheme; ``None`` if there is none."""
    try:
        return urlsplit(url if "://" in url else f"https://{url}").hostname
    except ValueError:
        return None


def _bracket(host: str) -> str:
    """A bare IPv6 address the way a URL needs it."""
    try:
        return f"[{host}]" if ipaddress.ip_address(host).version == 6 else host
    except ValueError:
        return host


def _is_loopback(hostname: str) -> bool:
    try:
        return ipaddress.ip_address(hostname).is_loopback
    except ValueError:
        return hostname == "localhost" or hostname.endswith(".localhost")

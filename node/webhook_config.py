"""`[webhooks]` of the configuration as the settings of the service.

Rule: whatever is wrong stops the node at its start, with the key that is wrong; nothing is found out by a delivery that fails.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from node.config import ConfigFileInvalid, NodeConfig
from node.home import read_file
from node.services.webhook_places import PlacePolicy, networks
from node.services.webhook_records import WebhookUrlRefused
from node.services.webhooks import WebhookSettings
from zhenglian.webhooks import SecretInvalid, secret_bytes

SECRET_FILE_BYTES_MAX: Final = 1024


def webhook_settings(config: NodeConfig) -> WebhookSettings:
    """Where notices are pushed to.

    Raises:
        ConfigFileInvalid: a network is none, a URL may not be used, one of URL and secret is missing, or the secret is none.
        FileUnusable: the secret's file cannot be read.
    """
    kept = config.webhooks
    try:
        policy = PlacePolicy(http=kept.allow_http, networks=networks(kept.allow_networks))
    except ValueError as error:
        zh, en = "应为网段，如 10.1.0.0/16", 'must be networks, as "10.1.0.0/16"'
        raise _invalid("allow_networks", str(error), zh, en) from None
    if bool(kept.platform_url) != bool(kept.platform_secret_file):
        missing = "platform_secret_file" if kept.platform_url else "platform_url"
        zh, en = "平台地址与密钥文件须同时填写，或都不填", "give both a URL and a secret's file, or neither"
        raise _invalid(missing, "empty", zh, en)
    return WebhookSettings(
        enabled=kept.enabled,
        policy=policy,
        retry_ms=int(kept.retry_s * 1000),
        disable_after_ms=kept.disable_after_s * 1000,
        ca_file=Path(kept.ca_file) if kept.ca_file else None,
        platform_url=kept.platform_url,
        platform_secret=_platform_secret(kept.platform_secret_file, kept.platform_url, policy),
    )


def _platform_secret(file: str, url: str, policy: PlacePolicy) -> str:
    if not url:
        return ""
    try:
        policy.check_url(url)
        secret = (
            read_file(Path(file), size_bytes_max=SECRET_FILE_BYTES_MAX).decode("ascii", "replace").strip()
        )
        secret_bytes(secret)
    except WebhookUrlRefused as error:
        raise _invalid("platform_url", url, error.message("zh"), error.message("en")) from None
    except SecretInvalid as error:
        raise _invalid("platform_secret_file", file, error.message("zh"), error.message("en")) from None
    return secret


def _invalid(key: str, reason: str, zh: str, en: str) -> ConfigFileInvalid:
    return ConfigFileInvalid(
        file="config.toml", key=f"webhooks.{key}", reason=reason, expected_zh=zh, expected_en=en
    )

"""Publishing: what a publish of this store keeps back and looks for, as config.toml and this machine have it.

The second opinion is that of the library detect-secrets, an extra (`pip install eventsync[secrets]`): it is loaded when
a person asked for it, and where it is missing nothing is published without it.
"""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final

from eventsync.errors import LibraryMissing
from federation.personal import Personal
from federation.screening import Screening
from federation.withholding import PublishSettings

if TYPE_CHECKING:
    from eventsync.config import Publish

_LIBRARY: Final = "detect_secrets"
# Its detectors that know a form; none that finds whatever looks random, as every digest here does, and none that asks
# the network.
_DETECTORS: Final = (
    *("ArtifactoryDetector", "AWSKeyDetector", "AzureStorageKeyDetector", "BasicAuthDetector", "CloudantDetector"),
    *("DiscordBotTokenDetector", "GitHubTokenDetector", "GitLabTokenDetector", "IbmCloudIamDetector"),
    *("IbmCosHmacDetector", "JwtTokenDetector", "KeywordDetector", "MailchimpDetector", "NpmDetector"),
    *("OpenAIDetector", "PrivateKeyDetector", "PypiTokenDetector", "SendGridDetector", "SlackDetector"),
    *("SoftlayerDetector", "SquareOAuthDetector", "StripeDetector", "TelegramBotTokenDetector", "TwilioKeyDetector"),
)


def settings_of(table: Publish) -> PublishSettings:
    """What is kept back."""
    return PublishSettings(
        frozenset(table.types),
        table.saw,
        withhold_tags=frozenset(table.withhold_tags),
        only_tags=frozenset(table.only_tags),
        withhold_paths=table.withhold_paths,
    )


def screening_of(table: Publish, names: frozenset[str]) -> Screening:
    """What is looked for; `names` are those of this user and this machine."""
    return Screening(
        frozenset(table.not_secret),
        library_scan() if table.secret_scan == "library" else None,
        None if table.home_paths == "allow" else Personal(names),
        table.home_paths == "stop",
    )


def own_names(environment: Mapping[str, str] = os.environ) -> frozenset[str]:
    """What this user and this machine are called, as far as that can be told."""
    return frozenset(filter(None, [environment.get("USER"), environment.get("LOGNAME"), os.uname().nodename]))


def library_scan() -> Callable[[str], str | None]:
    """What kind of secret the library sees in a text, or None; LibraryMissing when it is not installed."""
    try:
        scan = importlib.import_module(f"{_LIBRARY}.core.scan")
        settings = importlib.import_module(f"{_LIBRARY}.settings")
    except ImportError as error:
        raise LibraryMissing(f'[publish].secret_scan is "library", and {_LIBRARY} is not installed') from error
    wanted = {"plugins_used": [{"name": name} for name in _DETECTORS], "filters_used": []}
    return functools.partial(_scanned, scan, functools.partial(settings.transient_settings, wanted))


def _scanned(scan: Any, set_up: Callable[[], AbstractContextManager[Any]], text: str) -> str | None:
    with set_up():
        for line in text.splitlines():
            for found in scan.scan_line(line):
                return f"a secret ({str(found.type).lower()}, says {_LIBRARY.replace('_', '-')})"
    return None

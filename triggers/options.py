"""The options before a trigger's text, written like environment variables.

Example: `CRON_TZ=Europe/Paris DST_GAP=skip 0 9 * * *`.

The spelling of `CRON_TZ` is cronie's, the others follow it. Values are percent-encoded where they hold anything
but plain characters, so that a slug of any text can stand in `HASH=`. Pure.
"""

import re
from collections.abc import Mapping
from urllib.parse import quote, unquote
from zoneinfo import ZoneInfo

from duly.triggers.errors import TriggerError

__all__ = ["read_options", "write_options", "zone_options"]

_OPTION = re.compile(r"(?P<name>[A-Za-z_]+)=(?P<value>\S*)(?:\s+|$)")
_PLAIN = "/:+,@"
_DEFAULTS = {"CRON_TZ": "UTC", "DST_GAP": "run_after", "DST_FOLD": "once"}
_SPELLINGS = {"TZ": "CRON_TZ"}


def zone_options(zone: ZoneInfo, dst_gap: str = "run_after", dst_fold: str = "once") -> dict[str, str]:
    """Return the options of a trigger that follows the clocks of a zone, but for those at their defaults."""
    options = {"CRON_TZ": zone.key, "DST_GAP": dst_gap, "DST_FOLD": dst_fold}
    return {name: value for name, value in options.items() if value != _DEFAULTS[name]}


def write_options(options: Mapping[str, str], text: str) -> str:
    """Write `text` after its options."""
    return " ".join([*(f"{name}={quote(value, _PLAIN, errors='surrogatepass')}" for name, value in options.items()), text])


def read_options(text: str) -> tuple[dict[str, str], str]:
    """Split a text into its options (names in upper case) and the rest."""
    options: dict[str, str] = {}
    rest = text.strip()
    while match := _OPTION.match(rest):
        name = _SPELLINGS.get(match["name"].upper(), match["name"].upper())
        if name in options:
            raise TriggerError("is given twice", text=text, field="option", value=name, expected="each option once")
        try:
            options[name] = unquote(match["value"], errors="surrogatepass")
        except UnicodeDecodeError as error:
            raise TriggerError("is not UTF-8", text=text, field=name, value=match["value"], expected="%-escapes of UTF-8") from error
        rest = rest[match.end() :]
    return options, rest

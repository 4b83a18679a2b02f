"""Where the dataset is served: the settings of the official download kit."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from vhap.util.errors import InputError

KEYS = ("NERSEMBLE_DATA_URL", "NERSEMBLE_BENCHMARK_URL")
ENTRY = re.compile(r"""\s*(?:export\s+)?(\w+)\s*=\s*("[^"]*"|'[^']*'|[^#]*)""")


def settings_file() -> Path:
    """The file that the official kit reads and writes. Here it is only read."""
    return Path.home() / ".config" / "nersemble_data" / ".env"


def find_data_url(environment: Mapping[str, str] = os.environ, file: Path | None = None) -> str:
    """The dataset's address, without a slash at its end: from the environment, else from the settings file.

    Messages never repeat the address, since it is given to each user in confidence. Raises InputError where there is
    none, or none that can be used.
    """
    file = file or settings_file()
    stored = read_settings(file)
    for source, where in ((environment, "the environment"), (stored, str(file))):
        for key in KEYS:
            if url := source.get(key, "").strip():
                return _checked(url, f"{key} in {where}")
    raise InputError(
        f"expected the dataset's address in the environment or in {file}, found none; request access to NeRSemble, "
        f'then write a line {KEYS[0]}="<the address from the mail>" into that file'
    )


def read_settings(file: Path) -> dict[str, str]:
    """KEY=value lines of a .env file, with or without quotes, `export` and comments; nothing where there is no file."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"expected settings that can be read in {file}, found {error}; correct the file") from error
    entries = [match for line in lines if (match := ENTRY.match(line))]
    return {match[1]: match[2].strip().strip("\"'") for match in entries}


def _checked(url: str, where: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable or parts.username is not None or parts.query or parts.fragment or re.search(r"\s", url):
        raise InputError(
            f"expected http(s)://host/path without user name, query or blanks as {where}, found something else; "
            "copy the address from the mail again"
        )
    return url.rstrip("/")

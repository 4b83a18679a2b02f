"""Where the dataset and the benchmark are served: the settings of the official download kits."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from vhap.util.errors import InputError

BENCHMARK_KEY = "NERSEMBLE_BENCHMARK_URL"
KEYS = ("NERSEMBLE_DATA_URL", BENCHMARK_KEY)
ENTRY = re.compile(r"""\s*(?:export\s+)?(\w+)\s*=\s*("[^"]*"|'[^']*'|[^#]*)""")


VARIABLE = re.compile(r"\$\{(\w+)\}")


def settings_file(kit: str = "nersemble_data") -> Path:
    """The file that an official kit reads and writes. Here it is only read."""
    return Path.home() / ".config" / kit / ".env"


def find_data_url(environment: Mapping[str, str] = os.environ, file: Path | None = None) -> str:
    """The dataset's address, without a slash at its end: from the environment, else from the settings file.

    Messages never repeat the address, since it is given to each user in confidence. Raises InputError where there is
    none, or none that can be used.
    """
    return _find(KEYS, "dataset", environment, file or settings_file())


def find_benchmark_url(environment: Mapping[str, str] = os.environ, file: Path | None = None) -> str:
    """As find_data_url, the benchmark's address, out of its own kit's settings file."""
    return _find((BENCHMARK_KEY,), "benchmark", environment, file or settings_file("nersemble_benchmark"))


def _find(keys: Sequence[str], what: str, environment: Mapping[str, str], file: Path) -> str:
    stored = read_settings(file)
    expanded = {name: _expanded(value, {**environment, **stored}) for name, value in stored.items()}
    for source, where in ((environment, "the environment"), (expanded, str(file))):
        for key in keys:
            if url := source.get(key, "").strip():
                return _checked(url, f"{key} in {where}")
    raise InputError(
        f"expected the {what}'s address in the environment or in {file}, found none; request access to NeRSemble, "
        f'then write a line {keys[0]}="<the address from the mail>" into that file'
    )


def _expanded(value: str, known: Mapping[str, str]) -> str:
    """With ${NAME} replaced, once; an unknown name by nothing, as the official kits do it."""
    return VARIABLE.sub(lambda match: known.get(match[1], ""), value)


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

"""Solves one person from several sequences together, then follows each with that person fixed.

vhap track-person FOLDER --sequences A B C
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from vhap.api import person_kind
from vhap.cli import parse_with_lines
from vhap.config.person import MonocularPersonConfig, NersemblePersonConfig, NersembleV2PersonConfig, PersonConfig
from vhap.util.errors import exits_cleanly


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    kind, words = kind_and_words([*(sys.argv[1:] if args is None else args)])
    config, lines = parse_with_lines(kind, __doc__, words)
    from vhap.pipeline.track_person import run

    done = run(config, lines)
    if config.dry_run:
        return
    print(done.table())
    if done.failed:
        print("give the same command again when the cause is mended", file=sys.stderr)
        sys.exit(1)


def kind_and_words(words: list[str]) -> tuple[type[PersonConfig], list[str]]:
    """The options' type, by what the folder holds that stands first, and the words with that folder as an option."""
    place = [] if not words or words[0].startswith("-") else ["--data.root_folder", words.pop(0)]
    typed = [*place, *words]
    folder, sequences, subject = (_values(typed, name) for name in ("data.root_folder", "sequences", "subject"))
    asks = {"-h", "--help", "--help-all", "--help_all"} & {*typed}
    if asks or not (folder and sequences and Path(folder[0]).is_dir()):
        return MonocularPersonConfig, typed
    kind = person_kind(Path(folder[0]), sequences, (subject or [""])[0])
    # A rig's recording has to be named; which one is followed is said for each.
    named = [] if kind is MonocularPersonConfig else ["--data.sequence", sequences[0]]
    named += ["--data.subject", *subject] if issubclass(kind, NersemblePersonConfig | NersembleV2PersonConfig) else []
    return kind, [*typed, *named]


def _values(words: Sequence[str], option: str) -> list[str]:
    """What stands behind an option, the last time."""
    found: list[str] = []
    for index, word in enumerate(words):
        name, sign, value = word.partition("=")
        if re.sub("^--", "", name).replace("-", "_") == option:
            found = [value] if sign else []
            for later in words[index + 1 :]:
                if later.startswith("-"):
                    break
                found.append(later)
    return found


if __name__ == "__main__":
    main()

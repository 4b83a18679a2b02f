"""Stands in for vhap where only the order of commands counts: `python fake_vhap.py COMMAND OPTIONS`.

Notes each call in calls.txt beside BEHAVIOUR (in the environment), a JSON file: part of "COMMAND OPTIONS" -> fail, hang
or meet, which waits until two calls have come there. It writes what the batch looks for afterwards.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

command, *words = sys.argv[1:]
behaviour = Path(os.environ["BEHAVIOUR"])
place = behaviour.parent
line = " ".join([command, *words])
with open(place / "calls.txt", "a", encoding="utf-8") as file:
    file.write(f"{line} # {os.environ.get('OMP_NUM_THREADS')} {os.environ.get('VHAP_THREADS')}\n")
wanted = next((what for part, what in json.loads(behaviour.read_text()).items() if part in line), "")
if wanted == "fail":
    print("error: expected another film, found this one; film again", file=sys.stderr)
    sys.exit(2)
if wanted == "hang":
    (place / "hangs").write_text(str(os.getpid()))
    time.sleep(600)
if wanted == "meet":
    (place / f"here{os.getpid()}").touch()
    for _ in range(600):
        if len(list(place.glob("here*"))) > 1:
            break
        time.sleep(0.05)
    else:
        sys.exit("nobody came")
if command.startswith("track"):
    folder = Path(words[words.index("--exp.output_folder") + 1])
    if command == "track-person":
        folder /= f"{words[words.index('--subject') + 1]}_person"
    run = folder / "2026-01-01_00-00-00"
    run.mkdir(parents=True, exist_ok=True)
    (run / "tracked_flame_params_30.npz").touch()

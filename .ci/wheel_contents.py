"""Holds a wheel against the checkout that it was built from: `wheel_contents.py WHEEL`, in the checkout's folder.

The wheel has each file of the package that git tracks, as it is there, and beside its own metadata nothing else.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path


def main(wheel: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "-z", "vhap"], check=True, capture_output=True, text=True).stdout
    expected = {name for name in listed.split("\0") if name}
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
        if found != expected:
            sys.exit(f"{wheel.name}: missing {sorted(expected - found)}, not of the package {sorted(found - expected)}")
        if changed := [name for name in sorted(found) if archive.read(name) != Path(name).read_bytes()]:
            sys.exit(f"{wheel.name}: other contents than the checkout in {changed}")
    print(f"{wheel.name}: the {len(found)} files of the package")


main(Path(sys.argv[1]))

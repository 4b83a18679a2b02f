"""Files of MediaPipe's networks, taken out of its wheel into the folder of weights, each checked by its SHA-256."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from vhap.config.fetch_models import FetchModelsConfig
from vhap.detect.networks.files import FILES, RELEASE, is_published, require_published
from vhap.util.commands import command
from vhap.util.errors import InputError, shown
from vhap.util.files import write_bytes
from vhap.util.lock import folder_lock
from vhap.util.log import get_logger
from vhap.util.paths import weights_folder

LICENSE, LICENSE_SHA256 = "mediapipe_LICENSE.txt", "8707eef0533987efc5b155d64761eeb6e20793f50b9bd1a68dad1cf4719d0ed8"
LICENSE_IN_WHEEL = f"mediapipe-{RELEASE}.dist-info/LICENSE"
MOST_BYTES = 16 << 20
"""Of one file in a wheel; the largest network wanted has 2.5 MB."""
PLATFORM = ("--python-version", "3.11", "--platform", "manylinux_2_28_x86_64")
"""Of the wheel that is downloaded whatever runs here: its networks are those of all systems."""
WHEEL_SHA256 = "05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3"
BY_HAND = f"download mediapipe {RELEASE}, the wheel of any system, where you can, and give it by --wheel"


def run(config: FetchModelsConfig) -> Path:
    """The folder, which then holds all files. What is right there stays; nothing is written before all is checked."""
    folder = weights_folder()
    with folder_lock(folder):
        missing = [name for name in (*FILES, LICENSE) if not _is_right(name, folder / name)]
        if not missing and config.wheel is None:
            get_logger().info("all %d files are there: nothing to do", len(FILES) + 1)
            return folder
        contents = _contents(config.wheel)
        for name in missing:
            write_bytes(folder / name, contents[name])
    get_logger().info("%d of %d files written", len(missing), len(FILES) + 1)
    return folder


def _contents(wheel: Path | None) -> dict[str, bytes]:
    """Every file's name and content, checked."""
    if wheel is not None:
        return _from_wheel(wheel)
    if (installed := _from_installed()) is not None:
        return installed
    with tempfile.TemporaryDirectory() as folder:
        return _from_wheel(_downloaded(Path(folder)))


def _from_wheel(wheel: Path) -> dict[str, bytes]:
    members = {name: f"{folder}/{name}" for name, (folder, _) in FILES.items()} | {LICENSE: LICENSE_IN_WHEEL}
    try:
        with zipfile.ZipFile(wheel) as archive:
            found = {name: _member(archive, member, wheel) for name, member in members.items()}
    except FileNotFoundError as error:
        raise InputError(f"expected a wheel of mediapipe {RELEASE} at {wheel}, found nothing; check --wheel") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise InputError(
            f"expected a wheel of mediapipe {RELEASE} in {wheel}, found a damaged or another file "
            f"({shown(str(error))}); download it again"
        ) from error
    return _checked(found, wheel)


def _member(archive: zipfile.ZipFile, member: str, wheel: Path) -> bytes:
    try:
        entry = archive.getinfo(member)
    except KeyError as error:
        raise InputError(
            f"expected {member} in the wheel {wheel}, found another release or package; only mediapipe {RELEASE} and "
            "its near ones have the networks inside: give that one by --wheel"
        ) from error
    if entry.file_size > MOST_BYTES:
        raise InputError(
            f"expected up to {MOST_BYTES} bytes of {member} in {wheel}, found {entry.file_size}; get it again"
        )
    return archive.read(entry)


def _from_installed() -> dict[str, bytes] | None:
    """Of an installed mediapipe of the right release; None where there is none."""
    try:
        package = metadata.distribution("mediapipe")
    except metadata.PackageNotFoundError:
        return None
    if package.version != RELEASE:
        return None
    paths = {name: f"{folder}/{name}" for name, (folder, _) in FILES.items()} | {LICENSE: LICENSE_IN_WHEEL}
    places = {name: Path(str(package.locate_file(path))) for name, path in paths.items()}
    if not all(place.is_file() for place in places.values()):
        return None
    get_logger().info("taking the files out of the installed mediapipe %s", RELEASE)
    return _checked({name: place.read_bytes() for name, place in places.items()}, "the installed mediapipe")


def _downloaded(folder: Path) -> Path:
    """The wheel, from the user's own index by the user's own pip."""
    get_logger().info("downloading mediapipe %s (36 MB), for its networks alone", RELEASE)
    options = ["--no-deps", "--only-binary=:all:", *PLATFORM, "--disable-pip-version-check", "--quiet"]
    words = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), f"mediapipe=={RELEASE}"]
    done = subprocess.run(words, capture_output=True, text=True)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        said = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "no message")
        raise InputError(
            f"expected pip to download mediapipe {RELEASE}, found that it failed ({shown(said)}); {BY_HAND}"
        )
    if (found := hashlib.sha256(wheels[0].read_bytes()).hexdigest()) != WHEEL_SHA256:
        raise InputError(
            f"expected the wheel {wheels[0].name} as its authors published it, found another one on your package index "
            f"(SHA-256 {found}); {BY_HAND}"
        )
    return wheels[0]


def _checked(contents: Mapping[str, bytes], origin: object) -> dict[str, bytes]:
    for name, content in contents.items():
        if name == LICENSE:
            continue
        require_published(name, content, f"{origin}")
    if hashlib.sha256(contents[LICENSE]).hexdigest() != LICENSE_SHA256:
        raise InputError(
            f"expected the licence of mediapipe {RELEASE} in {origin}, found another text; {command('fetch-models')} "
            "without --wheel gets the right one"
        )
    return dict(contents)


def _is_right(name: str, path: Path) -> bool:
    if not path.is_file():
        return False
    content = path.read_bytes()
    return hashlib.sha256(content).hexdigest() == LICENSE_SHA256 if name == LICENSE else is_published(name, content)

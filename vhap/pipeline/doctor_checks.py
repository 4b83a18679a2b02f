"""What the check of the installation looks at. Nothing heavy is imported before a check is made."""

from __future__ import annotations

import dataclasses
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple

from vhap.util.errors import InputError, as_one_line
from vhap.util.optional import import_or_explain
from vhap.util.paths import cache_folder, weights_folder
from vhap.util.threads import usable_cores
from vhap.util.versions import OPENCV_WHEELS

State = Literal["ok", "missing", "warning", "broken"]
"""missing: a part that not everyone needs is not there. broken: a part that is needed is not there, or one that is
there does not work."""
Found = tuple[State, str]


@dataclasses.dataclass(frozen=True)
class Finding:
    section: str
    name: str
    state: State
    text: str


class Check(NamedTuple):
    section: str
    name: str
    make: Callable[[], Found]


REQUIRED = {
    "numpy": "numpy",
    "scipy": "scipy",
    "torch": "torch",
    "warp-lang": "warp",
    "imageio": "imageio",
    "imageio-ffmpeg": "imageio_ffmpeg",
    "flatbuffers": "flatbuffers",
    "tflite": "tflite",
    "trimesh": "trimesh",
    "pillow": "PIL",
    "msgspec": "msgspec",
    "pyyaml": "yaml",
    "tyro": "tyro",
    "tqdm": "tqdm",
    "tensorboard": "tensorboard",
}
"""Distributions that every run needs, and the modules they bring."""

OPTIONAL = {
    "isal": ("isal", "PNG files are written by OpenCV, which takes five times as long; pip install isal"),
    "face-alignment": ("face_alignment", "--landmark_source face-alignment is missing; pip install "
                                         "'vhap[face-alignment]'"),
    "star": ("star", "--landmark_source star is missing; pip install git+https://github.com/ShenhanQian/STAR"),
    "viser": ("viser", "vhap view is missing; pip install 'vhap[viewer]'"),
    "usd-core": ("pxr", "--layout usd is missing; pip install 'vhap[usd]'"),
    "nvdiffrast": ("nvdiffrast", "--render.backend nvdiffrast is missing; install it from its source"),
}  # fmt: skip
"""Distributions without which a part is missing: module, and what is missing."""

CACHE_BYTES = 1 << 30
"""Of free disk below which a warning comes; an ICT-FaceKit conversion, kernels and embeddings take a few hundred MB."""
FACE_ALIGNMENT_FILES = ("2DFAN4-*", "s3fd-*")


def as_problem(error: Exception) -> str:
    return as_one_line(str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}")


def version_of(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def check_python() -> Found:
    return "ok", f"{platform.python_version()} ({sys.executable}), {platform.platform()}"


def check_vhap() -> Found:
    folder = Path(__file__).resolve().parents[1]
    return "ok", f"{version_of('vhap') or 'not installed, run from its sources'} in {folder}"


def check_required(distribution: str) -> Found:
    import_or_explain(REQUIRED[distribution], f"pip install {distribution}")
    return "ok", version_of(distribution) or "imports, of unknown version"


def check_optional(distribution: str) -> Found:
    module, without = OPTIONAL[distribution]
    if find_spec(module) is None:
        return "missing", without
    import_or_explain(module)
    version = version_of(distribution)
    return "ok", version or "imports, of unknown version"


def check_opencv() -> Found:
    installed = [f"{name} {version}" for name in OPENCV_WHEELS if (version := version_of(name))]
    cv2 = import_or_explain("cv2")
    text = f"{cv2.__version__} of {' and '.join(installed) or 'an unknown package'}"
    if len(installed) > 1:
        return "warning", f"{text}, which write over each other; pip uninstall all of them, then install one"
    return "ok", text


def check_processor() -> Found:
    import torch

    cores = usable_cores()
    text = f"{platform.processor() or platform.machine()}, {cores} cores, {torch.get_num_threads()} threads of torch"
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        text += f", {os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GB of memory"
    return "ok", text


def check_cuda() -> Found:
    import torch

    if torch.version.cuda is None:
        return "missing", f"this torch ({torch.__version__}) is built for the CPU; everything works there, slower"
    if not torch.cuda.is_available():
        return "missing", f"torch for CUDA {torch.version.cuda} finds no GPU or no driver; the CPU is used"
    devices = [torch.cuda.get_device_properties(k) for k in range(torch.cuda.device_count())]
    torch.ones(1, device="cuda").sum().item()
    names = [
        f"{device.name} ({device.total_memory / 2**30:.0f} GB, {device.major}.{device.minor})" for device in devices
    ]
    return "ok", f"CUDA {torch.version.cuda}: {', '.join(names)}"


def check_renderer() -> Found:
    """Draws a triangle on every device."""
    import torch

    from vhap.render.backend import get_backend
    from vhap.render.topology import build_topology

    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    for device in devices:
        faces = torch.tensor([[0, 1, 2]], dtype=torch.int32, device=device)
        clip = torch.tensor([[[-1.0, -1, 0, 1], [1, -1, 0, 1], [0, 1, 0, 1]]], device=device)
        raster = get_backend("warp", device).rasterize(clip, build_topology(faces, faces), 16, 16)
        covered = int((raster.face_id >= 0).sum())
        if not 100 < covered < 156:
            return "broken", f"a triangle of 128 pixels covers {covered} on {device}"
    return "ok", f"warp draws on {' and '.join(devices)}"


def check_kernel_cache() -> Found:
    import warp

    from vhap.util.quiet_warp import start_quietly

    start_quietly()
    return writable(Path(warp.config.kernel_cache_dir or "."), "compiled kernels")


def check_mediapipe_networks() -> Found:
    import numpy as np

    from vhap.detect.networks.files import FILES, find_network

    try:
        places = {find_network(name).parent for name in FILES}
    except InputError as error:
        return "missing", str(error)
    from vhap.detect.mediapipe_landmarks import MediapipeLandmarks
    from vhap.detect.networks.selfie import SelfieSegmentation

    picture = np.zeros((64, 64, 3), np.uint8)
    MediapipeLandmarks().faces(picture)
    for kind in ("general", "landscape"):
        SelfieSegmentation(kind).probability(picture)
    origin = weights_folder() if weights_folder() in places else "an installed mediapipe"
    return "ok", f"face mesh, face detection and selfie segmentation run; their files are in {origin}"


def check_face_alignment_networks() -> Found:
    import torch

    folder = Path(torch.hub.get_dir()) / "checkpoints"
    found = [next(iter(sorted(folder.glob(pattern))), None) for pattern in FACE_ALIGNMENT_FILES]
    if None in found:
        return "missing", f"{' and '.join(FACE_ALIGNMENT_FILES)} in {folder}; the package fetches them at its first use"
    return "ok", ", ".join(map(str, found))


def check_head(name: str) -> Found:
    """broken where its files are there and cannot be read: --model.head auto would take them."""
    from vhap.head.load import FLAME_VARIABLE, GNM_VARIABLE, ICT_VARIABLE, find_flame, find_gnm, find_ict, load_head

    path = {"flame": find_flame, "gnm": find_gnm, "ict": find_ict, "builtin": lambda: None}[name]()
    try:
        head = load_head(name)
    except InputError as error:
        return "broken" if path or name == "builtin" else "missing", str(error)
    origin = f" in {path}" if path else ""
    if path and (variable := {"flame": FLAME_VARIABLE, "gnm": GNM_VARIABLE, "ict": ICT_VARIABLE}[name]) in os.environ:
        origin += f" (by {variable})"
    sizes = f"{head.n_vertices} vertices, {head.n_shape} + {head.n_expr} coefficients"
    return "ok", f"{sizes}{origin}"


def gnm_findings(path: Path) -> list[Finding]:
    """What holds of a GNM head's file. Where it cannot be read, or its structure is another one, that is all."""
    from vhap.head.gnm.checks import examine
    from vhap.head.gnm.file import describe, read_gnm
    from vhap.head.gnm.landmarks import describe_landmarks
    from vhap.head.gnm.reference import posed_reference

    states: dict[str, State] = {"ok": "ok", "note": "warning", "broken": "broken"}
    section = f"GNM head {path}"
    try:
        gnm = read_gnm(path)
    except InputError as error:
        return [Finding(section, "file", "broken", str(error))]
    found = [Finding(section, "file", "ok", describe(gnm))]
    found += [Finding(section, each.name, states[each.state], each.text) for each in examine(gnm)]
    if not any(each.state == "broken" for each in found):
        state, text = posed_reference(gnm)
        found.append(Finding(section, "posed reference", states[state], text))
    try:
        state, text = describe_landmarks(gnm.path, gnm["template_vertex_positions"])
    except InputError as error:
        state, text = "broken", str(error)
    return [*found, Finding(section, "landmarks", "missing" if state == "missing" else states[state], text)]


def check_weights(weights: Any) -> Found:
    """weights: a `WeightsFile` of detect/weights.py."""
    from vhap.detect.weights import find_weights, require_known, weights_if_there

    path = weights_if_there(weights)
    if path is None:
        try:
            find_weights(weights, otherwise="do without it")
        except InputError as error:
            return "missing", str(error)
    assert path is not None
    content = path.read_bytes()
    if weights.published:
        try:
            require_known(weights, path, content)
        except InputError as error:
            return "warning", str(error)
    return "ok", f"{path}, {len(content) / 2**20:.0f} MB{', as published' if weights.published else ''}"


def check_ffmpeg() -> Found:
    from vhap.data.ffmpeg import find_ffmpeg

    program = find_ffmpeg()
    done = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=60)
    if done.returncode or not done.stdout:
        return "broken", f"{program} ends with status {done.returncode}; set IMAGEIO_FFMPEG_EXE to another one"
    return "ok", f"{' '.join(done.stdout.split()[:3])} ({program})"


def writable(folder: Path, what: str) -> Found:
    """Whether files can be written into a folder, or into the first of its parents that is there; free disk."""
    present = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=present):
            pass
    except OSError as error:
        return (
            "broken",
            f"expected a writable folder for {what} at {folder}, found {error.strerror}; correct its rights",
        )
    free = shutil.disk_usage(present).free
    text = f"{folder}, {free / 2**30:.1f} GB free"
    return ("warning", f"{text}; free some space") if free < CACHE_BYTES else ("ok", text)


def _packages() -> list[Check]:
    named = [Check("Versions", name, lambda name=name: check_required(name)) for name in REQUIRED]
    ours = [Check("Versions", "python", check_python), Check("Versions", "vhap", check_vhap)]
    return [*ours, *named, Check("Versions", "opencv", check_opencv)]


def _extras() -> list[Check]:
    return [Check("Versions", name, lambda name=name: check_optional(name)) for name in OPTIONAL]


def _devices() -> list[Check]:
    return [
        Check("Devices", "CPU", check_processor),
        Check("Devices", "CUDA", check_cuda),
        Check("Devices", "renderer", check_renderer),
        Check("Devices", "kernel cache", check_kernel_cache),
    ]


def _heads() -> list[Check]:
    return [Check("Heads", name, lambda name=name: check_head(name)) for name in ("builtin", "ict", "gnm", "flame")]


def _mediapipe() -> list[Check]:
    return [Check("Weights", "mediapipe", check_mediapipe_networks)]


def _weights() -> list[Check]:
    from vhap.detect import weights

    known = [value for value in vars(weights).values() if isinstance(value, weights.WeightsFile)]
    return [
        Check("Weights", "face-alignment", check_face_alignment_networks),
        *(Check("Weights", each.network.split(" (")[0], lambda each=each: check_weights(each)) for each in known),
    ]


def _files() -> list[Check]:
    return [
        Check("Files", "ffmpeg", check_ffmpeg),
        Check("Files", "cache", lambda: writable(cache_folder(), "caches (VHAP_CACHE)")),
        Check("Files", "weights", lambda: ("ok", f"{weights_folder()}, where weights of networks are looked for")),
    ]


GROUPS: dict[str, Callable[[], list[Check]]] = {
    "packages": _packages,
    "extras": _extras,
    "devices": _devices,
    "heads": _heads,
    "mediapipe": _mediapipe,
    "weights": _weights,
    "files": _files,
}


def checks_of(group: str) -> list[Check]:
    return GROUPS[group]()

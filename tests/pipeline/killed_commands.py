"""Run as a program: runs commands again and again, each in a fork of its own, killed or stopped where it is asked to.

    killed_commands.py ROOT < requests, a line of JSON each

What takes long (importing, building the head) is done once, so that a moment chosen at random falls into the work. Each
request is answered by a line of JSON. request: `command`; `die_after` seconds or `die_at` a rename (files take their
places by renaming), nothing for an undisturbed run; `stop_at` a rename: it is stopped there and the answer names it;
`go_on` in place of a command: a stopped one goes on to its end.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO
from unittest.mock import patch

import cv2
import imageio_ffmpeg
import numpy as np
import small_run
import torch

from vhap.config.detect import DetectConfig
from vhap.config.evaluate import EvaluateConfig
from vhap.config.export import CombineConfig, ExportConfig, MeshExportConfig
from vhap.config.preprocess import PreprocessConfig
from vhap.config.report import ReportConfig
from vhap.config.synthetic import SyntheticConfig
from vhap.detect import landmark_pass, landmarks
from vhap.head.load import load_head
from vhap.pipeline import (
    combine_nerf_datasets,
    detect_landmarks,
    evaluate_tracking,
    export_as_nerf_dataset,
    export_mesh,
    heads,
    make_synthetic_capture,
    preprocess_video,
    report,
)
from vhap.util.errors import exits_cleanly

COMMANDS: dict[str, Callable[[Path], object]] = {
    "preprocess": lambda root: preprocess_video.run(
        PreprocessConfig(root / "clip.mp4", matting_method="mediapipe", landmark_source="none", downsample_scales=(2,))
    ),
    "preprocess through time": lambda root: preprocess_video.run(
        PreprocessConfig(root / "clip.mp4", downsample_scales=(2,), landmark_detector_njobs=1)
    ),
    "preprocess a rig": lambda root: preprocess_video.run(
        PreprocessConfig(root / "rig", matting_method="none", landmark_source="none", image_format="png")
    ),
    "detect landmarks": lambda root: detect_landmarks.run(DetectConfig(root / "person", "mediapipe")),
    "export": lambda root: export_as_nerf_dataset.run(ExportConfig(root / "out", root / "export/074_A")),
    "export for INSTA": lambda root: export_as_nerf_dataset.run(
        ExportConfig(root / "out", root / "anna_insta", layout="insta", test_frames=2)
    ),
    "export for Gaussian-Head-Avatar": lambda root: export_as_nerf_dataset.run(
        ExportConfig(root / "out", root / "frames", layout="gaussian_head_avatar")
    ),
    "export for COLMAP": lambda root: export_as_nerf_dataset.run(
        ExportConfig(root / "out", root / "colmap", layout="colmap")
    ),
    "export meshes": lambda root: export_mesh.run(
        MeshExportConfig(root / "out", root / "meshes", format=("obj", "ply", "gltf"))
    ),
    "combine": lambda root: combine_nerf_datasets.run(
        CombineConfig((root / "exports/074_A", root / "exports/074_B"), root / "exports/union")
    ),
    "evaluate": lambda root: evaluate_tracking.run(EvaluateConfig(root / "out")),
    "report": lambda root: report.run(ReportConfig(root / "out")),
    "make a synthetic capture": lambda root: make_synthetic_capture.run(
        SyntheticConfig(
            root / "synthetic/clip", frames=3, size=96, image_format="png", landmark_source="face-alignment",
            supersampling=1,
        )
    ),
    "make a synthetic rig": lambda root: make_synthetic_capture.run(
        SyntheticConfig(
            root / "synthetic_rig", layout="multiview", frames=2, cameras=2, height=96, width=64, image_format="png",
            landmark_source="face-alignment", supersampling=1,
        )
    ),
}  # fmt: skip


class Detector:
    """Stands in for a network: a face where the picture is darkest."""

    def faces(self, picture: np.ndarray) -> list[np.ndarray]:
        time.sleep(0.02)
        y, x = np.unravel_index(picture.sum(2).argmin(), picture.shape[:2])
        return [np.tile([float(x), float(y), 1.0], (478, 1)) + np.linspace(0, 9, 478)[:, None]]

    def face_near(self, picture: np.ndarray, points: np.ndarray) -> None:
        return None

    def confidence(self, points: np.ndarray) -> np.ndarray:
        return np.ones(len(points))


def make_inputs(root: Path, head: Any) -> None:
    """Videos, a finished run with its pictures, two exports."""
    source = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i"]
    source += ["testsrc=size=96x64:rate=25:duration=0.2", "-pix_fmt", "yuv420p"]
    (root / "rig").mkdir(parents=True)
    for name in ("clip.mp4", "rig/cam_1.mp4", "rig/cam_2.mp4"):
        subprocess.run([*source, str(root / name)], check=True)
    small_run.make_run(root, head, small_run.make_result(head))
    for name in ("074_A", "074_B"):
        export_as_nerf_dataset.run(ExportConfig(root / "out", root / "exports" / name))


def main(root: Path) -> None:
    talk = talk_to_asker()
    head = load_head("builtin", n_shape=5, n_expr=6)
    whole = load_head("builtin")
    with (
        patch.object(heads, "load_head", lambda *_, **more: head),
        patch.object(make_synthetic_capture, "load_head", lambda *_, **more: whole),
        patch.object(landmarks, "detector_maker", lambda *_: Detector),
        patch.object(landmark_pass, "CHUNK", 1),
    ):
        serve(talk, root, COMMANDS, lambda root: make_inputs(root, head))


def talk_to_asker() -> TextIO:
    """Where answers go; what else is printed goes to the errors."""
    talk = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return talk


def serve(
    talk: TextIO, root: Path, commands: Mapping[str, Callable[[Path], object]], make_inputs: Callable[[Path], object]
) -> None:
    """Makes the inputs, says which commands there are, and answers requests."""
    kept = root.with_name("inputs")
    # In a fork: what runs kernels leaves threads behind, which no fork after it would have.
    answer = run_once(make_inputs, root, {})
    assert answer["status"] == 0, answer
    shutil.copytree(root, kept, symlinks=True)
    print(json.dumps(list(commands)), file=talk, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "reset" in request:
            shutil.rmtree(root)
            answer = {"root": str(shutil.copytree(kept, root, symlinks=True))}
        elif "go_on" in request:
            os.kill(request["go_on"], signal.SIGCONT)
            answer = ended(request["go_on"])
        else:
            answer = run_once(commands[request["command"]], root, request)
        print(json.dumps(answer), file=talk, flush=True)


def run_once(command: Callable[[Path], object], root: Path, request: dict[str, Any]) -> dict[str, Any]:
    said = root.with_name("said")
    started = time.monotonic()
    process = os.fork()
    if process == 0:
        run_child(command, root, request, said)
    if "die_after" in request:
        timer = threading.Timer(request["die_after"], os.kill, (process, signal.SIGKILL))
        timer.start()
        answer = ended(process)
        timer.cancel()
    else:
        answer = ended(process)
    lines = said.read_text(errors="replace").splitlines() if said.exists() else []
    renames = root.with_name("renames")
    count = int(renames.read_text() or 0) if renames.exists() else 0
    return {**answer, "seconds": time.monotonic() - started, "said": lines, "renames": count}


def ended(process: int) -> dict[str, Any]:
    """The exit status, negative for a signal; None where the process was stopped."""
    _, status = os.waitpid(process, os.WUNTRACED)
    return {"process": process, "status": None if os.WIFSTOPPED(status) else os.waitstatus_to_exitcode(status)}


def run_child(command: Callable[[Path], object], root: Path, request: dict[str, Any], said: Path) -> None:
    """Never returns."""
    status = 70
    # The pools of threads that a fork inherits have no threads.
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 2)
        count_renames(request, root.with_name("renames"))
        exits_cleanly(command)(root)
        status = 0
    except SystemExit as stop:
        status = int(stop.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def count_renames(request: dict[str, Any], counted: Path) -> None:
    """Counts what takes its place, and ends or stops this process when it is about to do so the n-th time."""
    numbers, lock = itertools.count(1), threading.Lock()
    orders = {request.get("die_at"): signal.SIGKILL, request.get("stop_at"): signal.SIGSTOP}

    def counting(rename: Callable[..., None]) -> Callable[..., None]:
        def wrapped(*args: Any, **kwargs: Any) -> None:
            with lock:
                number = next(numbers)
                counted.write_text(str(number))
                if number in orders:
                    os.kill(os.getpid(), orders[number])
            rename(*args, **kwargs)

        return wrapped

    counted.write_text("0")
    os.replace, os.rename = counting(os.replace), counting(os.rename)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Expression coefficients under ARKit's names, as the Live Link Face app records them: a CSV of one row a frame."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vhap.export.mesh_files import TrackedHead
from vhap.geometry.rotations import yaw_pitch_roll
from vhap.head.model import joint_rotations
from vhap.util.files import write_text
from vhap.util.log import get_logger

EYE = ("EyeBlink", "EyeLookDown", "EyeLookIn", "EyeLookOut", "EyeLookUp", "EyeSquint", "EyeWide")
ARKIT = (
    *(f"{name}{side}" for side in ("Left", "Right") for name in EYE),
    *("JawForward", "JawRight", "JawLeft", "JawOpen"),
    *("MouthClose", "MouthFunnel", "MouthPucker", "MouthRight", "MouthLeft"),
    *(f"Mouth{name}{side}" for name in ("Smile", "Frown", "Dimple", "Stretch") for side in ("Left", "Right")),
    *("MouthRollLower", "MouthRollUpper", "MouthShrugLower", "MouthShrugUpper"),
    *(f"Mouth{name}{side}" for name in ("Press", "LowerDown", "UpperUp") for side in ("Left", "Right")),
    *("BrowDownLeft", "BrowDownRight", "BrowInnerUp", "BrowOuterUpLeft", "BrowOuterUpRight"),
    *("CheekPuff", "CheekSquintLeft", "CheekSquintRight", "NoseSneerLeft", "NoseSneerRight", "TongueOut"),
)
"""ARKit's 52 blendshapes (Apple, ARFaceAnchor.BlendShapeLocation) in the order of the app's columns."""
ANGLES = tuple(f"{part}{angle}" for part in ("Head", "LeftEye", "RightEye") for angle in ("Yaw", "Pitch", "Roll"))


def write_blendshapes(path: Path, head: TrackedHead, fps: float) -> bool:
    """One row a timestep: Timecode, BlendShapeCount, 52 coefficients clipped to [0, 1], nine angles.

    The timecode is the recording's, with frames at `fps`. Angles are in radians, as `yaw_pitch_roll` in geometry:
    the head's (root and neck) in the tracked world, the eyes' in the head. Returns False, and writes nothing, where
    none of the head's coefficients has a name of ARKit's.
    """
    sources = arkit_sources(head.model.expr_names)
    if not any(sources.values()):
        get_logger().info(
            "no blendshapes.csv: the expressions of %s have no ARKit names; export-mesh --curves makes them by "
            "ICT-FaceKit",
            head.model.name,
        )
        return False
    if lacking := [name for name, indices in sources.items() if not indices]:
        get_logger().info("blendshapes.csv: %s has none of %s, which stay 0", head.model.name, ", ".join(lacking))
    expr = head.params.expr.numpy()
    columns = [expr[:, indices].mean(1) if indices else np.zeros(len(expr)) for indices in sources.values()]
    coefficients = np.stack(columns, -1).clip(0, 1)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["Timecode", "BlendShapeCount", *ARKIT, *ANGLES])
    for time_s, row in zip(head.times_s, np.concatenate([coefficients, _angles(head)], -1)):
        rows.writerow([timecode(float(time_s), fps), len(row), *(f"{value:.6f}" for value in row)])
    write_text(path, text.getvalue())
    return True


def arkit_sources(names: Sequence[str]) -> dict[str, list[int]]:
    """For each of ARKIT the coefficients whose mean it is: empty where a head has none.

    names: a head's own, as `jawOpen`, `eyeBlink_L`. A head may split a shape that ARKit has once (browInnerUp_L and
    _R) and may have once a shape that ARKit splits (mouthUpperUp): that one drives both sides.
    """
    index_of = {name: index for index, name in enumerate(names)}
    sources = {}
    for column in ARKIT:
        name = column[0].lower() + column[1:]
        plain = name.removesuffix("Left").removesuffix("Right")
        sided = [f"{name}_L", f"{name}_R"] if plain == name else [f"{plain}_{name[len(plain)]}"]
        found = ([index_of[n] for n in choice if n in index_of] for choice in ([name], sided, [plain]))
        sources[column] = next((indices for indices in found if indices), [])
    return sources


def timecode(time_s: float, fps: float) -> str:
    """HH:MM:SS:FF.mmm, where FF.mmm are frames since the last full second."""
    thousandths = round(time_s % 1 * fps * 1000)
    second = int(time_s)
    if thousandths >= fps * 1000:
        second, thousandths = second + 1, 0
    frames, rest = divmod(thousandths, 1000)
    return f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}:{frames:02d}.{rest:03d}"


def _angles(head: TrackedHead) -> np.ndarray:
    """(T, 9) radians in the order of ANGLES."""
    rotations = joint_rotations(head.params)
    parts = (rotations[:, 0] @ rotations[:, 1], rotations[:, 3], rotations[:, 4])
    return np.concatenate([yaw_pitch_roll(part).numpy() for part in parts], -1)

"""The curves of a run's page: errors of the frames, parameters over time, losses of the stages."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from vhap.data.results import TrackResult
from vhap.evaluate.chart import Chart
from vhap.fit.history import StoredStage, read_losses
from vhap.util.choice import worst

WORST_NAMED, TERMS_SHOWN, EXPRESSIONS_SHOWN = 5, 6, 6


def worst_frames(per_frame: Mapping[str, list]) -> dict[str, list[int]]:
    """Rows with the largest landmark error and with the lowest PSNR of the face, the worst first: WORST_NAMED, of
    short clips a quarter."""
    count = most_marked(len(per_frame["timestep_id"]))
    return {
        "landmark": worst(_gaps(per_frame["landmark_nme_percent"]), count, larger_is_worse=True),
        "face": worst(_gaps(per_frame["psnr_face_db"]), count, larger_is_worse=False),
    }


def most_marked(count: int) -> int:
    """Of so many frames, how many are named as the worst by a measure."""
    return min(WORST_NAMED, -(-count // 4))


def frame_charts(per_frame: Mapping[str, list]) -> list[Chart]:
    """per_frame: the part of that name in evaluation.json."""
    names, rows = per_frame["timestep_id"], worst_frames(per_frame)
    landmarks = {"landmarks": _gaps(per_frame["landmark_nme_percent"])}
    psnr = {"face": _gaps(per_frame["psnr_face_db"]), "head": _gaps(per_frame["psnr_head_db"])}
    return [
        Chart(
            "Landmark error, % of the eyes' distance",
            landmarks,
            marked={"landmarks": rows["landmark"]},
            names=names,
            frames=True,
        ),
        Chart("PSNR, dB", psnr, marked={"face": rows["face"]}, names=names, frames=True),
    ]


def parameter_charts(result: TrackResult) -> list[Chart]:
    """Angles in degrees, R = Ry(yaw) Rx(pitch) Rz(roll); the translation in mm from its mean; the expression
    coefficients that vary most."""
    mean = result.translation.mean(0)
    moved = 1000 * (result.translation - mean)
    at = ", ".join(f"{value:.3f}" for value in mean)
    eyes = {
        f"{side} {name}": values
        for side, part in (("left", result.eyes_pose[:, :3]), ("right", result.eyes_pose[:, 3:]))
        for name, values in euler_degrees(part).items()
        if name != "roll"
    }
    charts = {
        "Head rotation, degrees": euler_degrees(result.rotation),
        "Head translation, mm from its mean": dict(zip("xyz", moved.T.tolist())),
        "Neck, degrees": euler_degrees(result.neck_pose),
        "Jaw, degrees": euler_degrees(result.jaw_pose),
        "Eyes, degrees": eyes,
        "Expression, coefficients of the largest variance": most_varied(result.expr),
    }
    notes = {"Head translation, mm from its mean": f"mean at ({at}) m"}
    return [Chart(title, curves, frames=True, note=notes.get(title, "")) for title, curves in charts.items()]


def euler_degrees(axis_angle: np.ndarray) -> dict[str, list[float]]:
    """(T, 3) axis-angle in radians -> yaw (to the subject's left), pitch (down), roll, each T degrees."""
    angles = Rotation.from_rotvec(np.asarray(axis_angle, np.float64)).as_euler("YXZ", degrees=True)
    return dict(zip(("yaw", "pitch", "roll"), angles.T.tolist()))


def most_varied(expr: np.ndarray) -> dict[str, list[float]]:
    """(T, E) -> values over time by the coefficient's number, the most varied first."""
    order = np.argsort(-expr.var(axis=0), kind="stable")[:EXPRESSIONS_SHOWN]
    return {str(number): expr[:, number].tolist() for number in order}


def loss_charts(losses: Path, seconds: Mapping[str, float]) -> list[Chart]:
    """A chart a stage out of losses.json; none where the file is missing, as in runs of other programs."""
    return [_stage_chart(stage, seconds.get(stage["name"])) for stage in read_losses(losses)["stages"]]


def _stage_chart(stage: StoredStage, seconds: float | None) -> Chart:
    note = f"{stage['count']} rounds" + ("" if seconds is None else f", {seconds:.1f} s")
    return Chart(stage["name"], {"cost": _gaps(stage["total"])}, x=stage["steps"], log=True, note=note, x_name="round")


def _gaps(values: list[float | None]) -> list[float]:
    """JSON's null as NaN."""
    return [math.nan if value is None else value for value in values]

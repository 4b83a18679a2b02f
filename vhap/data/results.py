"""Results of a tracking run as users' scripts read them: `tracked_flame_params_<epoch>.npz` in a run folder."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np

from vhap.data.result_rules import check_result
from vhap.data.run_order import runs_in
from vhap.util.errors import InputError
from vhap.util.files import read_npz, write_npz
from vhap.util.log import get_logger

FORMAT_VERSION = 2
"""Of results. Version 1, which had no such key, held the whole albedo in tex_extra."""
RESULT_PATTERN = re.compile(r"tracked_flame_params_(-?\d+)\.npz$")
EPOCHS_APART = 10
"""Scripts name results by multiples of so many epochs."""
"""Of the global stage, which also saves its last one."""
PER_TIMESTEP = ("rotation", "translation", "neck_pose", "jaw_pose", "eyes_pose", "expr", "dynamic_offset")


@dataclass(frozen=True)
class TrackResult:
    """Field names equal the file's keys. T timesteps, V vertices (teeth included), S and E the head's own sizes.

    rotation, translation, neck_pose, jaw_pose (T, 3); eyes_pose (T, 6); shape (S,); expr (T, E); timestep_id (T,);
    timestep_index (T,) index in the unfiltered recording; n_processed_frames (); image_size (2,) height, width;
    head_model: name and file hash; focal_length (1,) in units of max(height, width) where the camera was solved;
    albedo (3, A, A) in [0, 1], at the resolution at which it was estimated; tex_extra (3, R, R): what it adds to the
    head's base texture, both resized to R, which is A in a run's results, row 0 on top; lights (9, 3); static_offset
    (1, V, 3); dynamic_offset (T, V, 3); scale (), (1, 1) in files.

    lost_reason (T, C): why the picture of a timestep by a camera shows nothing of the head, empty where it does;
    camera_id (C,): which cameras these are. Results of other tools and of version 1 have neither.

    Head and motion stand in the tracked world. T_tracked_given (4, 4), of captures with given cameras: the similarity
    x_tracked = T_tracked_given @ x_given, where given is the world of the calibration in its own units and tracked is
    metric.
    """

    rotation: np.ndarray
    translation: np.ndarray
    neck_pose: np.ndarray
    jaw_pose: np.ndarray
    eyes_pose: np.ndarray
    shape: np.ndarray
    expr: np.ndarray
    timestep_id: np.ndarray
    timestep_index: np.ndarray
    n_processed_frames: np.ndarray
    image_size: np.ndarray
    head_model: np.ndarray
    focal_length: np.ndarray | None = None
    tex_extra: np.ndarray | None = None
    lights: np.ndarray | None = None
    static_offset: np.ndarray | None = None
    dynamic_offset: np.ndarray | None = None
    scale: np.ndarray | None = None
    T_tracked_given: np.ndarray | None = None
    albedo: np.ndarray | None = None
    lost_reason: np.ndarray | None = None
    camera_id: np.ndarray | None = None
    format_version: np.ndarray = field(default_factory=lambda: np.array(FORMAT_VERSION))

    @property
    def head_identity(self) -> str:
        return str(self.head_model)

    def select(self, rows: list[int]) -> TrackResult:
        """The same result with only some timesteps."""
        kept = {
            name: value[rows]
            for name in (*PER_TIMESTEP, "timestep_id", "timestep_index", "lost_reason")
            if (value := getattr(self, name)) is not None
        }
        return replace(self, **kept, n_processed_frames=np.array(len(rows)))


def save_result(path: str | Path, result: TrackResult) -> None:
    """InputError, and no file, where a number is not finite."""
    write_npz(path, arrays_of(result, path))


def arrays_of(result: TrackResult, path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of a result's file. InputError where a number is not finite; path: for its message."""
    values = {field.name: getattr(result, field.name) for field in fields(result)}
    arrays = {name: np.asarray(value) for name, value in values.items() if value is not None}
    if broken := not_finite(arrays):
        raise InputError(
            f"expected finite numbers to write into {path}, found NaN or infinity in {', '.join(broken)}; the fit has "
            "diverged: track again with smaller --lr and --w options, or from an earlier run's checkpoint"
        )
    if result.scale is not None:
        arrays["scale"] = arrays["scale"].reshape(1, 1)
    return arrays


def not_finite(arrays: dict[str, np.ndarray]) -> list[str]:
    """Names of arrays that hold NaN or infinity."""
    return [name for name, value in arrays.items() if value.dtype.kind in "fc" and not np.isfinite(value).all()]


def load_result(path: str | Path, head_identity: str | None = None) -> TrackResult:
    """Reads a result; InputError where keys are missing, arrays are not what `check_result` asks for, or it is of
    another head."""
    arrays = read_npz(path)
    if "timestep_index" not in arrays and "timestep_id" in arrays:
        arrays["timestep_index"] = np.arange(len(arrays["timestep_id"]))
    if "timestep_id" not in arrays and "timestep_index" in arrays:
        # A static avatar's file has no names.
        arrays["timestep_id"] = np.array([f"{index:06d}" for index in arrays["timestep_index"].tolist()])
    arrays = in_this_format(arrays, path)
    arrays.setdefault("head_model", np.array("unknown"))
    check_result(arrays, path)
    if "scale" in arrays:
        arrays["scale"] = arrays["scale"].reshape(())
    known = {field.name for field in fields(TrackResult)}
    result = TrackResult(**{name: value for name, value in arrays.items() if name in known})
    if head_identity is not None and result.head_identity not in (head_identity, "unknown"):
        raise InputError(
            f"expected a result of the head {head_identity} in {path}, found {result.head_identity}; "
            "choose that head with --model.head, or track again"
        )
    return result


def in_this_format(arrays: dict[str, np.ndarray], path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of a file of any version as FORMAT_VERSION has them. InputError where a later release wrote it.

    A file without a version is of another tool, whose tex_extra is a residual as ours, or, where it names its head, of
    version 1.
    """
    version = arrays.get("format_version", np.array(1 if "head_model" in arrays else FORMAT_VERSION))
    if version.shape != () or version.dtype.kind not in "iu" or not 1 <= version <= FORMAT_VERSION:
        raise InputError(
            f"expected a format_version of 1 to {FORMAT_VERSION} in {path}, found {str(version)[:80]}; update vhap, or "
            "track again"
        )
    arrays = {**arrays, "format_version": np.array(FORMAT_VERSION)}
    if version == 1 and "tex_extra" in arrays:
        arrays["albedo"] = arrays.pop("tex_extra")
    return arrays


def newest_run(folder: str | Path) -> Path:
    """The run folder inside that was started last of those that have a result, or the folder itself where it is one."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"expected a tracking output folder at {folder}, found none; check the path")
    # A static avatar's output folder has a file of a result's name beside its run folders.
    runs = [child for child in runs_in(folder) if result_epochs(child)]
    if not runs and result_epochs(folder):
        return folder
    if not runs:
        raise InputError(f"expected tracked_flame_params_*.npz in {folder} or its run folders, found none; track first")
    return runs[-1]


def result_epochs(run: Path) -> dict[int, Path]:
    """Epoch -> file of every result in a run folder."""
    found = ((RESULT_PATTERN.match(path.name), path) for path in sorted(run.glob("tracked_flame_params_*.npz")))
    return {int(match.group(1)): path for match, path in found if match}


def result_path(run: Path, epoch: int = -1) -> Path:
    """The result of an epoch; -1 is the last.

    0 is the result of the sequential pass, 30 (or num_epochs of the last stage) that of a finished run. Where a script
    names another multiple of ten beyond it, the last one stands for it, and the log says so.
    """
    epochs = result_epochs(run)
    if epochs and epoch > max(epochs) and epoch % EPOCHS_APART == 0:
        get_logger().warning(
            "no result of epoch %d in %s: the run ends with %d, which is taken", epoch, run, max(epochs)
        )
        return epochs[max(epochs)]
    if not epochs or (epoch != -1 and epoch not in epochs):
        raise InputError(
            f"expected the result of epoch {epoch} in {run}, found epochs {sorted(epochs)}; choose one of them"
        )
    return epochs[max(epochs) if epoch == -1 else epoch]

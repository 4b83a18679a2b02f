"""The toolkit as a library: what the commands do, as functions.

    from vhap.api import export, open_run, preprocess, track

    sequence = preprocess("anna.mp4")
    folder = track(sequence, head="ict", output_folder="output/anna")
    vertices = open_run(folder).vertices(0)
    export(folder, "export/anna")

Options are keywords with the names of the commands' options, without their group: `--model.head ict` is `head="ict"`. A
group may be given whole (`w={"landmark": 3}`), and so may the dataclass of all options, which type checkers know:
`track(MonocularTrackConfig(...))` of `vhap.config.track`. Every function takes `progress`, which is called with a
`ProgressEvent` while it works; what it raises ends the work, and the same call goes on from there. Bad input raises
`InputError`, whose text says what was expected, what was found, where, and what to do. Importing this module loads
neither torch nor any other large library. Import it before torch where you can: it lets torch's threads sleep between
operations, which makes tracking several times faster beside other busy processes.
"""

from __future__ import annotations

import importlib
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from vhap.config.data import (
    DataConfig,
    MultiviewDataConfig,
    NersembleDataConfig,
    NersembleV2DataConfig,
    SingleFrameDataConfig,
)
from vhap.config.evaluate import EvaluateConfig
from vhap.config.export import CombineConfig, ExportConfig, MeshExportConfig
from vhap.config.preprocess import PreprocessConfig
from vhap.config.report import ReportConfig
from vhap.config.synthetic import SyntheticConfig
from vhap.config.track import (
    ModelConfig,
    MonocularTrackConfig,
    MultiviewTrackConfig,
    NersembleTrackConfig,
    NersembleV2TrackConfig,
    SingleFrameTrackConfig,
    TrackConfig,
)
from vhap.util.errors import InputError
from vhap.util.progress import ProgressCallback, ProgressEvent, progress_to

if TYPE_CHECKING:
    from torch import Tensor

    from vhap.data.sample import Capture, FrameBatch
    from vhap.geometry.cameras import Camera
    from vhap.model.head import HeadModel, HeadParams
    from vhap.pipeline.rendered_frames import RunScene

__all__ = [
    "InputError",
    "ProgressEvent",
    "Run",
    "combine",
    "evaluate",
    "export",
    "export_mesh",
    "load_head",
    "make_synthetic_capture",
    "open_capture",
    "open_run",
    "preprocess",
    "report",
    "track",
]

C = TypeVar("C")
StrPath = str | Path
Device = Literal["auto", "cpu", "cuda"]
Kind = Literal["auto", "video", "multiview", "nersemble", "nersemble_v2", "single_frame"]
DATA: Mapping[str, type] = {
    "video": DataConfig,
    "multiview": MultiviewDataConfig,
    "nersemble": NersembleDataConfig,
    "nersemble_v2": NersembleV2DataConfig,
    "single_frame": SingleFrameDataConfig,
}
TRACKING: Mapping[str, type[TrackConfig]] = {
    "video": MonocularTrackConfig,
    "multiview": MultiviewTrackConfig,
    "nersemble": NersembleTrackConfig,
    "nersemble_v2": NersembleV2TrackConfig,
    "single_frame": SingleFrameTrackConfig,
}


def preprocess(source: StrPath | PreprocessConfig, *, progress: ProgressCallback | None = None, **options: Any) -> Path:
    """Pictures, mattes and landmarks of a video, of a rig's folder of videos, or of a folder with `images/`.

    options: fields of `vhap.config.preprocess.PreprocessConfig`, `output_folder` and `target_fps` among them.
    Returns the sequence's folder. What is there already is not made again.
    """
    return _run(PreprocessConfig, "preprocess_video", {"input": source}, options, progress)


def track(
    source: StrPath | TrackConfig,
    *,
    kind: Kind = "auto",
    progress: ProgressCallback | None = None,
    notes: Sequence[str] = (),
    **options: Any,
) -> Path:
    """Fits a head to every frame of a sequence's folder, and makes the page of the run.

    kind: what the folder holds; auto decides between a video, a calibrated rig (multiview) and a static avatar
    (single_frame). With `nersemble` and `nersemble_v2` it is the dataset's folder, and `subject` and `sequence` are
    needed. options: fields of `vhap.config.track.TrackConfig` and of its groups, as `head`, `output_folder`,
    `photometric`, `n_expr`, `report`. notes: lines for the run's log.
    Returns the run's folder, which `open_run` reads. A run that was stopped goes on; after a finished one a new run
    begins.
    """
    if isinstance(source, TrackConfig):
        _require_none(source, [*options, *([] if kind == "auto" else ["kind"])])
        config = _checked(source)
    else:
        config = _tracking(Path(source), kind, options)
    pipeline = "track_single_frame" if isinstance(config, SingleFrameTrackConfig) else "track"
    with progress_to(progress):
        folder = _pipeline(pipeline)(config, notes)
        if config.exp.report and not config.dry_run:
            _pipeline("report")(ReportConfig(folder))
    return folder


def export(
    run: StrPath | ExportConfig,
    target: StrPath | None = None,
    *,
    progress: ProgressCallback | None = None,
    **options: Any,
) -> Path:
    """A dataset for NeRF and 3D Gaussian trainers, with the head's parameters, from a tracking run.

    options: fields of `vhap.config.export.ExportConfig`, `layout` and `subset` among them. Returns the folder written.
    """
    given = {"src_folder": run, "tgt_folder": target}
    return _run(ExportConfig, "export_as_nerf_dataset", given, options, progress)


def export_mesh(
    run: StrPath | MeshExportConfig,
    target: StrPath | None = None,
    *,
    progress: ProgressCallback | None = None,
    **options: Any,
) -> Path:
    """Meshes of every frame, or one animated file, from a tracking run.

    options: fields of `vhap.config.export.MeshExportConfig`, as `format=("gltf",)`. Returns the folder.
    """
    return _run(MeshExportConfig, "export_mesh", {"src_folder": run, "tgt_folder": target}, options, progress)


def combine(
    datasets: Sequence[StrPath] | CombineConfig,
    target: StrPath | None = None,
    *,
    progress: ProgressCallback | None = None,
    **options: Any,
) -> Path:
    """One dataset out of several exports of one person, which lie side by side.

    options: fields of `vhap.config.export.CombineConfig`. Returns the union's folder.
    """
    if isinstance(datasets, str | Path):
        raise InputError(f"expected several datasets to combine, found one path ({datasets}); give a list of them")
    folders = datasets if isinstance(datasets, CombineConfig) else [*datasets]
    given = {"src_folders": folders, "tgt_folder": target}
    return _run(CombineConfig, "combine_nerf_datasets", given, options, progress)


def evaluate(
    run: StrPath | EvaluateConfig, *, progress: ProgressCallback | None = None, **options: Any
) -> dict[str, Any]:
    """How well a run explains its pictures and, where it is known (`truth`), the truth.

    Returns the content of evaluation.json in the run's folder: values of the clip by name, `per_frame`, `per_camera`.
    """
    path = _run(EvaluateConfig, "evaluate_tracking", {"run": run}, options, progress)
    from vhap.util.files import read_json

    return read_json(path)


def report(run: StrPath | ReportConfig, *, progress: ProgressCallback | None = None, **options: Any) -> Path:
    """The page of a run, report.html, and overlay.mp4 beside it. Returns the page's path."""
    return _run(ReportConfig, "report", {"run": run}, options, progress)


def make_synthetic_capture(
    target: StrPath | SyntheticConfig, *, progress: ProgressCallback | None = None, **options: Any
) -> Path:
    """A film of a head with known parameters, for trying and for tests.

    options: fields of `vhap.config.synthetic.SyntheticConfig`. Returns the sequence's folder, or the rig's root.
    """
    return _run(SyntheticConfig, "make_synthetic_capture", {"output": target}, options, progress)


def open_capture(source: StrPath, *, kind: Kind = "auto", **options: Any) -> Capture:
    """A recording on disk: its pictures, mattes, landmarks and given cameras as tensors.

    kind: as for `track`. options: fields of `vhap.config.data.DataConfig` or its like for rigs. Landmarks are read,
    and detected where they are missing, with `use_landmark=True` only.
    """
    config = _data(Path(source), kind, {"use_landmark": False, **options})
    from vhap.pipeline import captures

    return captures.complete_capture(config) if config.use_landmark else captures.read_capture(config)


def open_run(run: StrPath, *, epoch: int = -1, device: Device = "cpu") -> Run:
    """A finished run: a run's folder, or the newest one in an output folder. epoch -1 is the last result; that of an
    unfinished run comes with a warning in the log."""
    from vhap.pipeline import rendered_frames, track

    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"expected a device out of auto, cpu, cuda, found {device!r}; choose one of them")
    return Run(rendered_frames.open_run(run, epoch, track.choose_device(device), with_landmarks=False))


def load_head(head: str = "auto", **options: Any) -> HeadModel:
    """A head model on the CPU: auto, flame, ict, builtin or file. `vhap.model.head.pose` moves it.

    options: fields of `vhap.config.track.ModelConfig` that choose a head: `n_shape`, `n_expr`, the files' paths,
    `add_teeth`, `remove_lip_inside`.
    """
    from vhap.pipeline import heads

    return heads.configured_head(_from_keywords(ModelConfig, {"head": head, **options}))


@dataclass(frozen=True)
class Run:
    """A finished run: one head, posed, lit and rendered at every timestep.

    t is a timestep's index, from 0, or its name. Tensors are float32 on the run's device; metres in the tracked world,
    OpenGL axes. Cameras are counted from 0; a video has one.
    """

    scene: RunScene
    """What the toolkit's own commands work with."""

    @property
    def folder(self) -> Path:
        return self.scene.folder

    @property
    def timesteps(self) -> tuple[str, ...]:
        """Names of the timesteps."""
        return tuple(str(name) for name in self.scene.result.timestep_id)

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras."""
        return tuple(self.scene.capture.camera_ids)

    @property
    def head(self) -> HeadModel:
        """The head model, with as many coefficients as the run has."""
        return self.scene.model

    @property
    def faces(self) -> Tensor:
        """(F, 3) vertex ids, counter-clockwise from outside."""
        return self.scene.model.faces

    @property
    def albedo(self) -> Tensor:
        """(R, R, 3) texture in [0, 1], row 0 on top, without light."""
        return self.scene.texture[0]

    def __len__(self) -> int:
        return self.scene.n_rows

    def parameters(self, t: int | str) -> HeadParams:
        """Identity, expression, joints (radians) and translation (metres) of a timestep, without a leading axis."""
        return self.scene.head_params(self.index(t))

    def vertices(self, t: int | str, parameters: HeadParams | None = None) -> Tensor:
        """(V, 3) metres; parameters: others than those of the timestep. Differentiable in them."""
        from vhap.model.head import pose

        return pose(self.scene.model, self.parameters(t) if parameters is None else parameters)

    def camera(self, t: int | str = 0, camera: int | str = 0) -> Camera:
        """The camera of a timestep: cameras rest, so it is the same for all of them."""
        self.index(t)
        return self.scene.camera(self._view(camera))

    def picture(self, t: int | str, camera: int | str = 0) -> FrameBatch:
        """What was tracked: rgb (1, H, W, 3) and alpha (1, H, W) or None, in [0, 1]."""
        return self.scene.load(self.index(t), self._view(camera))

    def render(
        self,
        t: int | str,
        camera: int | str | Camera = 0,
        parameters: HeadParams | None = None,
        background: Tensor | None = None,
    ) -> Tensor:
        """(H, W, 4) straight colours and coverage in [0, 1] of the head alone; with background (H, W, 3) the colours
        are those over it. camera: one of the run's by index or name, or any other. Differentiable in parameters and
        camera.
        """
        from vhap.geometry.cameras import Camera
        from vhap.render.scene import Alignment, render_head

        scene = self.scene
        seen = camera if isinstance(camera, Camera) else scene.camera(self._view(camera))
        if background is not None and background.shape != (seen.height, seen.width, 3):
            raise InputError(
                f"expected a background of {seen.height} x {seen.width} x 3, found "
                f"{' x '.join(map(str, background.shape))}; resize it to the camera's picture"
            )
        vertices = self.vertices(t, parameters)[None]
        behind = None if background is None else background[None]
        made = render_head(
            scene.backend,
            vertices,
            scene.topology,
            scene.model.uvs,
            scene.texture,
            scene.lights,
            seen,
            behind,
            alignment=Alignment(coverage=True),
        )
        assert made.coverage is not None
        coverage = made.coverage[0].clamp(0, 1)[..., None]
        rgb = made.picture[0]
        if background is None:
            rgb = rgb / coverage.clamp(min=1e-4)
        return _concatenated(rgb.clamp(0, 1), coverage)

    def index(self, t: int | str) -> int:
        """A timestep's index by its name or by itself; negative ones count from the end. InputError for others."""
        return _index(t, self.timesteps, f"a timestep of {self.folder}")

    def _view(self, camera: int | str) -> int:
        return _index(camera, self.cameras, f"a camera of {self.folder}")


def _index(which: Any, names: Sequence[str], what: str) -> int:
    """Of one of several by its name or its index."""
    if isinstance(which, str) and which in names:
        return names.index(which)
    try:
        index = operator.index(which)  # pyright: ignore[reportArgumentType]
    except TypeError:
        index = len(names)
    if -len(names) <= index < len(names):
        return index % len(names)
    raise InputError(
        f"expected {what}, an index below {len(names)} or a name ({names[0]} to {names[-1]}), found {which!r}; choose "
        "one of them"
    )


def _concatenated(rgb: Tensor, coverage: Tensor) -> Tensor:
    import torch

    return torch.cat([rgb, coverage], -1)


def _run(
    kind: type[C],
    pipeline: str,
    given: Mapping[str, Any],
    options: Mapping[str, Any],
    progress: ProgressCallback | None,
) -> Path:
    """Runs a pipeline file by a config, or by the options that make one. given: the first of them may be the config;
    None for what was left out."""
    named = {name: value for name, value in given.items() if value is not None}
    config = next(iter(named.values()), None)
    if isinstance(config, kind):
        _require_none(config, [*[*named][1:], *options])
        config = _checked(config)
    else:
        _require_once(named, options)
        config = _from_keywords(kind, {**named, **options})
    with progress_to(progress):
        return _pipeline(pipeline)(config)


def _from_keywords(kind: type[C], options: Mapping[str, Any]) -> C:
    # Here, since it loads numpy, which `--help` of a command does without.
    from vhap.config.keywords import from_keywords

    return from_keywords(kind, options)


def _checked(config: C) -> C:
    from vhap.config.keywords import checked

    return checked(config)


def _require_none(config: Any, names: Iterable[str]) -> None:
    if names := [*names]:
        raise InputError(
            f"expected either a {type(config).__name__} or single options, found both ({', '.join(names)}); put them "
            "into the config"
        )


def _require_once(given: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    if twice := [name for name in given if name in options]:
        raise InputError(f"expected {', '.join(twice)} once, found it as an argument and as an option; leave one out")


def _pipeline(name: str) -> Callable[..., Any]:
    return importlib.import_module(f"vhap.pipeline.{name}").run


def _tracking(folder: Path, kind: Kind, options: Mapping[str, Any]) -> TrackConfig:
    kind = _kind(folder, kind)
    where = _where(folder, kind, options)
    _require_once(where, options)
    return _from_keywords(TRACKING[kind], {**options, **where})


def _data(folder: Path, kind: Kind, options: Mapping[str, Any]) -> Any:
    kind = _kind(folder, kind)
    where = _where(folder, kind, options)
    _require_once(where, options)
    return _from_keywords(DATA[kind], {**options, **where})


def _where(folder: Path, kind: Kind, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that name the recording."""
    folder = folder.absolute()
    if not folder.is_dir():
        raise InputError(f"expected the folder of a recording at {folder}, found none; preprocess the video first")
    if kind.startswith("nersemble"):
        if "sequence" not in options:
            raise InputError("expected `subject` and `sequence` for a NeRSemble recording, found none; name them")
        return {"root_folder": folder}
    return {"root_folder": folder.parent, "sequence": folder.name}


def _kind(folder: Path, kind: Kind) -> Kind:
    if kind in DATA:
        return kind
    if kind != "auto":
        raise InputError(f"expected a kind of recording out of auto, {', '.join(DATA)}, found {kind!r}; choose one")
    from vhap.data.recording_kind import recording_kind

    return recording_kind(folder)

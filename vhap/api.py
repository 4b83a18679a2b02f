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
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from vhap.config.convert import ConvertConfig
from vhap.config.data import (
    DataConfig,
    MultiviewDataConfig,
    NersembleDataConfig,
    NersembleV2DataConfig,
    SingleFrameDataConfig,
)
from vhap.config.evaluate import EvaluateConfig
from vhap.config.export import CombineConfig, ExportConfig, MeshExportConfig
from vhap.config.person import (
    MonocularPersonConfig,
    MultiviewPersonConfig,
    NersemblePersonConfig,
    NersembleV2PersonConfig,
    PersonConfig,
)
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
from vhap.config.view import ViewConfig
from vhap.util.errors import InputError
from vhap.util.log import get_logger
from vhap.util.progress import ProgressCallback, ProgressEvent, progress_to

if TYPE_CHECKING:
    from vhap.data.sample import Capture
    from vhap.head.model import HeadModel
    from vhap.pipeline.library_run import Run
    from vhap.pipeline.track_person import PersonRuns
    from vhap.pipeline.view import Page

__all__ = [
    "InputError",
    "ProgressEvent",
    "Run",
    "combine",
    "convert_head",
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
    "track_person",
    "view",
]

C = TypeVar("C")
StrPath = str | Path
Device = Literal["auto", "cpu", "cuda"]
Kind = Literal["auto", "video", "multiview", "nersemble", "nersemble_v2", "single_frame"]
DATA: Mapping[str, type[Any]] = {
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


PERSON: Mapping[str, type[PersonConfig]] = {
    "video": MonocularPersonConfig,
    "multiview": MultiviewPersonConfig,
    "nersemble": NersemblePersonConfig,
    "nersemble_v2": NersembleV2PersonConfig,
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
    """Fits a head to every frame of a video or of a sequence's folder, and makes the page of the run.

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
        config, lines = _of_recording(TRACKING, Path(source), kind, options)
        notes = [*notes, *lines]
    pipeline = "track_single_frame" if isinstance(config, SingleFrameTrackConfig) else "track"
    if isinstance(config.data, DataConfig) and config.data.video is not None:
        pipeline = "track_video"
    with progress_to(progress):
        folder = _pipeline(pipeline)(config, notes)
        if config.exp.report and not config.dry_run:
            _pipeline("report")(ReportConfig(folder))
    return folder


def track_person(
    folder: StrPath | PersonConfig,
    sequences: Sequence[str] = (),
    *,
    subject: str = "",
    progress: ProgressCallback | None = None,
    **options: Any,
) -> PersonRuns:
    """Solves the person that several sequences show from all of them together, and follows each with that person.

    folder: holds the sequences' folders (preprocessed videos, or recordings by one rig), or is the NeRSemble dataset's,
    with the number of the participant as subject. options: as for `track`, and `keyframes`, `person_only`.
    Returns the folders of the person's run and of each sequence's, and why those failed that did: a failed sequence
    stops no other one. What is finished is kept; the same call goes on.
    """
    notes: list[str] = []
    if isinstance(folder, PersonConfig):
        _require_none(folder, [*options, *(["sequences"] if sequences else []), *(["subject"] if subject else [])])
        config = _checked(folder)
    else:
        if isinstance(sequences, str | Path):
            raise InputError(f"expected several sequences, found one name ({sequences}); give a list of them")
        kind, root = person_kind(Path(folder), sequences, subject), Path(folder).absolute()
        where: dict[str, Any] = {"root_folder": root}
        where |= {"sequence": sequences[0]} if kind is not MonocularPersonConfig else {}
        if issubclass(kind, NersemblePersonConfig | NersembleV2PersonConfig):
            where["subject"] = subject
        data = options.pop("data", {})
        given = {"sequences": [*sequences], "subject": subject, "data": {**data, **where}}
        from vhap.config.keywords import from_keywords_with_lines

        config, notes = from_keywords_with_lines(kind, {**options, **given})
    with progress_to(progress):
        return _pipeline("track_person")(config, notes)


def person_kind(folder: Path, sequences: Sequence[str], subject: str) -> type[PersonConfig]:
    """The options for the sequences in a folder, by what they are."""
    from vhap.data.recording_kind import dataset_version, recording_kind
    from vhap.data.sequence_folder import find_folder

    kind = dataset_version(folder, subject)
    if kind is None and sequences:
        kind = recording_kind(find_folder(folder, sequences[0]))
    if kind == "single_frame":
        raise InputError(
            f"expected sequences of moving heads, found a static avatar at {folder / sequences[0]}; track it with "
            "track-single-frame"
        )
    return PERSON[kind or "video"]


def export(
    run: StrPath | ExportConfig,
    target: StrPath | None = None,
    *,
    progress: ProgressCallback | None = None,
    **options: Any,
) -> Path:
    """A dataset in the form that a trainer of avatars or scenes reads, from a tracking run.

    options: fields of `vhap.config.export.ExportConfig`, as `layout="insta"`, `subset` or `dry_run=True`. Returns the
    folder written, of a dry run that which would be. InputError, and no folder, where a layout cannot hold the run.
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


def convert_head(
    run: StrPath | ConvertConfig,
    to: str | None = None,
    output: StrPath | None = None,
    *,
    progress: ProgressCallback | None = None,
    **options: Any,
) -> Path:
    """A run of another head out of a finished one: flame, gnm, ict, builtin, or file with `head_path`.

    options: fields of `vhap.config.convert.ConvertConfig`. Returns the new run's folder, which `open_run` and all
    exports read; its conversion.json says how far both heads lie apart.
    """
    return _run(ConvertConfig, "convert_head", {"run": run, "to": to, "output": output}, options, progress)


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


def view(*paths: StrPath | ViewConfig, **options: Any) -> Page:
    """A page in the browser with a run, two runs, an export, a recording or a head; it is served until it is closed.

    options: fields of `vhap.config.view.ViewConfig`, `port` and `points` among them. The page has `url`, `wait()`,
    which returns after Ctrl-C, and `close()`; as a context it closes itself.
    """
    if len(paths) == 1 and isinstance(config := paths[0], ViewConfig):
        _require_none(config, options)
        config = _checked(config)
    else:
        _require_once({"paths": paths}, options)
        config = _from_keywords(ViewConfig, {"paths": paths, **options})
    return _pipeline("view")(config)


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
    config, lines = _of_recording(DATA, Path(source), kind, {"use_landmark": False, **options})
    for line in lines:
        get_logger().warning(line)
    from vhap.pipeline import captures, video_source

    config = video_source.with_folder(config)
    return captures.complete_capture(config) if config.use_landmark else captures.read_capture(config)


def open_run(run: StrPath, *, epoch: int = -1, device: Device = "cpu") -> Run:
    """A finished run: a run's folder, or the newest one in an output folder. epoch -1 is the last result; that of an
    unfinished run comes with a warning in the log."""
    from vhap.pipeline import library_run

    return library_run.opened(run, epoch, device)


def load_head(head: str = "auto", **options: Any) -> HeadModel:
    """A head model on the CPU: auto, flame, gnm, ict, builtin or file. `vhap.head.model.pose` moves it.

    options: fields of `vhap.config.track.ModelConfig` that choose a head: `n_shape`, `n_expr`, the files' paths,
    `add_teeth`, `remove_lip_inside`.
    """
    from vhap.pipeline import heads

    return heads.configured_head(_from_keywords(ModelConfig, {"head": head, **options}))


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


def _of_recording(
    kinds: Mapping[str, type[C]], folder: Path, kind: Kind, options: Mapping[str, Any]
) -> tuple[C, list[str]]:
    """The config of a recording's kind, by the options and by where it lies; lines for the log."""
    kind = _kind(folder, kind)
    where = _where(folder, kind, options)
    _require_once(where, options)
    from vhap.config.keywords import from_keywords_with_lines

    return from_keywords_with_lines(kinds[kind], {**options, **where})


def _where(folder: Path, kind: Kind, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that name the recording."""
    folder = folder.absolute()
    if kind == "video" and folder.is_file():
        return {"video": folder}
    if not folder.is_dir():
        raise InputError(f"expected a video or the folder of a recording at {folder}, found none; correct the path")
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
    if folder.is_file():
        return "video"
    from vhap.data.recording_kind import recording_kind

    return recording_kind(folder)


def __getattr__(name: str) -> Any:
    """`Run`, which needs torch, when it is asked for."""
    if name == "Run":
        from vhap.pipeline.library_run import Run

        return Run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

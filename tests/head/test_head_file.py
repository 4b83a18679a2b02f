"""A head of one's own: what is written is read back, and what is damaged is refused in one line."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from vhap import api
from vhap.config.track import ModelConfig
from vhap.head.builtin import load_builtin
from vhap.head.head_file import load_head_file, save_head
from vhap.head.load import load_head
from vhap.head.model import HeadModel, JawLine, LandmarkSet, map_tensors, pose, zero_params
from vhap.pipeline.heads import resolved
from vhap.util.errors import InputError
from vhap.util.files import read_npz, write_npz

Arrays = dict[str, np.ndarray]


def own_head(**changes: object) -> HeadModel:
    return dataclasses.replace(load_builtin(), name="anna", **changes)  # pyright: ignore[reportArgumentType]


def full_head() -> HeadModel:
    """Every optional part is there."""
    head = load_builtin()
    jaw = LandmarkSet(head.landmarks["ibug"].face_ids[:17], head.landmarks["ibug"].barycentrics[:17], torch.arange(17))
    count = torch.arange(0, 478, 7)
    generator = torch.Generator().manual_seed(0)
    return own_head(
        pose_basis=1e-3 * torch.randn(head.n_vertices, 3, 36, generator=generator),
        jaw_line=JawLine(jaw.face_ids.expand(79, 17), jaw.barycentrics.expand(79, 17, 3)),
        landmarks={
            **head.landmarks,
            "mediapipe": LandmarkSet(count, torch.full((len(count), 3), 1 / 3), count),
        },
        has_jaw=False,
        open_mouth={3: 0.5, 1: 0.25},
    )


def same(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if dataclasses.is_dataclass(one):
        fields = [field.name for field in dataclasses.fields(one) if field.name != "asset_hash"]
        return all(same(getattr(one, name), getattr(other, name)) for name in fields)
    return one == other


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_head(tmp_path_factory.mktemp("head") / "anna.npz", full_head())


@pytest.mark.parametrize("head", [own_head(), full_head()], ids=["builtin", "full"])
def test_a_head_is_read_back_as_it_was(head: HeadModel, tmp_path: Path) -> None:
    read = load_head_file(save_head(tmp_path / "anna.npz", head))
    assert same(head, read)
    assert torch.equal(pose(read, zero_params(read)), pose(head, zero_params(head)))


def test_the_identity_is_that_of_the_content(tmp_path: Path) -> None:
    head = own_head()
    first = load_head_file(save_head(tmp_path / "one.npz", head))
    np.savez_compressed(tmp_path / "other.npz", **read_npz(tmp_path / "one.npz"))  # pyright: ignore[reportArgumentType]
    moved = dataclasses.replace(head, template=head.template + 1e-6)
    assert first.identity == load_head_file(tmp_path / "other.npz").identity
    assert first.identity.startswith("anna:")
    assert first.identity != load_head_file(save_head(tmp_path / "moved.npz", moved)).identity
    doubles = map_tensors(head, lambda t: t.double() if t.is_floating_point() else t)
    assert first.identity == load_head_file(save_head(tmp_path / "doubles.npz", doubles)).identity


def test_what_a_file_lacks_is_made_from_its_mesh(tmp_path: Path) -> None:
    built = load_builtin()
    marks = built.landmarks["ibug"]
    plain = own_head(
        regions={name: built.regions[name] for name in ("left_eyeball", "right_eyeball")},
        landmarks={"ibug": LandmarkSet(marks.face_ids[:68], marks.barycentrics[:68], torch.arange(68))},
        base_texture=None,
        shape_names=(),
        expr_names=(),
    )
    head = load_head("file", head_path=save_head(tmp_path / "anna.npz", plain), n_expr=5)
    assert {"face", "eyeballs", "boundary", "hair", "lips"} <= head.regions.keys()
    assert len(head.landmarks["ibug"].face_ids) == 70
    assert head.base_texture is not None
    assert (head.n_expr, head.expr_names) == (5, ())
    bare = save_head(tmp_path / "bare.npz", dataclasses.replace(plain, landmarks={}))
    with pytest.raises(InputError, match="face follows from landmarks/ibug"):
        load_head("file", head_path=bare)


def test_the_file_and_its_option_belong_together(good: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found no head_path"):
        load_head("file")
    with pytest.raises(InputError, match="found head 'auto' with head_path"):
        resolved(ModelConfig(head_path=good))
    with pytest.raises(InputError, match="found none; check head_path"):
        resolved(ModelConfig(head="file", head_path=tmp_path / "nowhere.npz"))
    assert resolved(ModelConfig(head="file", head_path=good)).head_path == good


def without_identities(arrays: Arrays) -> None:
    for name in ("shape_basis", "joint_shape_basis", "shape_names"):
        arrays[name] = arrays[name][..., :0]


CHANGES: dict[str, tuple[Callable[[Arrays], object], str]] = {
    "missing": (lambda a: a.pop("expr_basis"), "expr_basis"),
    "millimetres": (lambda a: a.update(template=1000 * a["template"]), "numbers up to 1, found"),
    "tiny": (lambda a: a.update(template=1e-3 * a["template"]), "in metres"),
    "thrice as large": (lambda a: a.update(template=3 * a["template"]), "in metres, 0.05 to 0.6 high"),
    "no joints": (lambda a: a.update(joint_template=0 * a["joint_template"]), "joints of neck, jaw and eyes apart"),
    "no identities": (without_identities, "identities and expressions in .* 'identities': 0"),
    "not finite": (lambda a: a["shape_basis"].__setitem__((0, 0, 0), np.nan), "finite"),
    "other length": (lambda a: a.update(weights=a["weights"][1:]), "weights"),
    "four joints": (lambda a: a.update(joint_template=a["joint_template"][:4]), "joint_template"),
    "weights": (lambda a: a.update(weights=a["weights"] * 0.9), "add up to 1"),
    "negative weight": (lambda a: a["weights"].__setitem__(0, [1.5, -0.5, 0, 0, 0]), "weights"),
    "face beyond the vertices": (lambda a: a["faces"].__setitem__((0, 0), 10**6), "faces .* from 0 to"),
    "negative id": (lambda a: a["regions/face"].__setitem__(0, -1), "regions/face .* from 0 to"),
    "turned faces": (lambda a: a.update(faces=a["faces"][:, ::-1]), "counter-clockwise"),
    "z up": (
        lambda a: a.update(template=a["template"][:, [0, 2, 1]] * [1, -1, 1]),
        "face towards \\+z, .* the opposite",
    ),
    "upside down": (lambda a: a.update(template=a["template"] * [-1, -1, 1]), "y up, from chin to eyes"),
    "facing away": (lambda a: a.update(template=a["template"] * [-1, 1, -1]), "subject's left at \\+x and the face"),
    "taken name": (lambda a: a.update(name=np.array("flame2023")), "a name of its own"),
    "odd name": (lambda a: a.update(name=np.array("a:b\nc")), "a name of letters"),
    "unknown array": (lambda a: a.update(colour=np.zeros(3)), "'colour'"),
    "unknown set": (lambda a: a.update({"landmarks/star/face_ids": np.zeros(3, int)}), "'star'"),
    "unknown part": (lambda a: a.update({"landmarks/ibug/x": np.zeros(3)}), "landmarks/ibug/x"),
    "half a set": (lambda a: a.pop("landmarks/ibug/barycentrics"), "landmarks/ibug/barycentrics"),
    "repeated point": (lambda a: a["landmarks/mediapipe/detector_ids"].__setitem__(1, 0), "once"),
    "half a mouth": (lambda a: a.pop("open_mouth/values"), "both open_mouth/ids and open_mouth/values"),
    "dark texture": (lambda a: a["base_texture"].__setitem__((0, 0, 0), -0.5), "base_texture"),
    "whole ibug": (lambda a: a["landmarks/ibug/detector_ids"].__setitem__(slice(None), np.arange(70)[::-1]), "order"),
    "objects": (lambda a: a.update(shape_basis=np.array([{}])), "readable npz"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_damaged_files_are_refused_in_one_line(change: str, good: Path, tmp_path: Path) -> None:
    arrays = read_npz(good)
    apply, words = CHANGES[change]
    apply(arrays)
    write_npz(tmp_path / "anna.npz", arrays)
    with pytest.raises(InputError, match=words) as caught:
        load_head_file(tmp_path / "anna.npz")
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "anna.npz") in str(caught.value)


def test_cut_and_foreign_files(good: Path, tmp_path: Path) -> None:
    content = good.read_bytes()
    for cut in (b"", content[:-1000], b"PK" + bytes(200)):
        (tmp_path / "cut.npz").write_bytes(cut)
        with pytest.raises(InputError, match="readable npz"):
            load_head_file(tmp_path / "cut.npz")
    with pytest.raises(InputError, match="found nothing"):
        load_head_file(tmp_path / "nowhere.npz")


def test_what_would_be_refused_is_not_written(tmp_path: Path) -> None:
    for head, words in (
        (load_builtin(), "a name of its own"),
        (own_head(parents=(-1, 0, 0, 0, 0)), "parents"),
        (own_head(template=100 * load_builtin().template), "numbers up to 1"),
    ):
        with pytest.raises(InputError, match=words):
            save_head(tmp_path / "head.npz", head)
    with pytest.raises(InputError, match="ends in"):
        save_head(tmp_path / "head.pkl", own_head())
    assert not list(tmp_path.iterdir())


def test_a_tracked_film_is_that_of_the_same_head_by_name(tmp_path: Path) -> None:
    file = save_head(tmp_path / "anna.npz", own_head())
    film = api.make_synthetic_capture(
        tmp_path / "film", head="file", head_path=file, frames=2, size=96, landmark_source="face-alignment"
    )
    options = {"photometric": False, "report": False, "max_eval_frames": 0, "landmark_source": "face-alignment"}
    by_name = api.track(film, head="builtin", output_folder=tmp_path / "builtin", **options)
    by_file = api.track(film, head="file", head_path=file, output_folder=tmp_path / "file", **options)
    one, other = api.open_run(by_name), api.open_run(by_file)
    assert torch.equal(one.vertices(1), other.vertices(1))
    assert other.head.identity == load_head("file", head_path=file).identity
    assert api.evaluate(by_file)["face_vertex_error_mm_mean"] < 5
    dataset = api.export(by_file, tmp_path / "export")
    assert (dataset / "transforms_train.json").is_file()
    save_head(file, own_head(template=1.001 * load_builtin().template))
    with pytest.raises(InputError, match="anna:"):
        api.open_run(by_file)

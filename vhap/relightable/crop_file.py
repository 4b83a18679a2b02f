"""crop.json: what a subject's pictures are a part of."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypedDict, cast

from msgspec import Meta

from vhap.relightable.crop import Box, Crop
from vhap.util.errors import InputError
from vhap.util.files import read_json, write_json

Side = Annotated[int, Meta(ge=1, le=1_000_000)]
Edge = Annotated[int, Meta(ge=-10_000_000, le=10_000_000)]
Edges = tuple[Edge, Edge, Edge, Edge]
REMEDY = "restore it, or remove it to make the pictures again"


class _File(TypedDict):
    source_size: tuple[Side, Side]
    box: Edges
    size: tuple[Side, Side]


class CropFile(_File, total=False):
    region: Edges | None
    pictures: list[str]
    source_pictures: list[str]
    without_head: list[str]
    source: dict[str, Any]
    options: dict[str, Any] | None


@dataclass(frozen=True)
class CropRecord:
    """pictures: names of the subject's pictures; source_pictures: what each was made from, a number of the video's
    pictures at its rate or a name. without_head: those pictures in which no face was found. source: the video (name,
    bytes, digest, fps) or the folder of pictures. options: what decided the pictures; None: they were taken as they
    are."""

    crop: Crop
    pictures: list[str]
    source_pictures: list[str]
    without_head: list[str] = field(default_factory=list)
    source: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] | None = None


def write_crop(path: Path, record: CropRecord) -> None:
    """Beside what `read_crop` needs, what others can use without a formula: scale (x, y), padding (left, top, right,
    bottom, px of the video), camera.matrix (intrinsics here = matrix @ intrinsics in the video) and
    camera.principal_point, px here, of a video whose principal point is its centre."""
    crop = record.crop
    height, width = crop.source_size
    centre = crop.matrix @ (width / 2, height / 2, 1)
    camera = {"matrix": crop.matrix.tolist(), "principal_point": centre[:2].tolist()}
    content = {**asdict(crop), "scale": crop.scale, "padding": crop.padding, "camera": camera, **asdict(record)}
    write_json(path, {key: value for key, value in content.items() if key != "crop"})


def read_crop(path: Path) -> CropRecord:
    """InputError where the file is missing or not of the format."""
    found = cast(CropFile, read_json(path, CropFile))
    source_size, size = tuple(found["source_size"]), tuple(found["size"])
    region = found.get("region")
    box, region = _box(found["box"], "box", path), None if region is None else _box(region, "region", path)
    crop = Crop(cast(tuple[int, int], source_size), box, cast(tuple[int, int], size), region)
    shown = crop.visible
    if shown[0] >= shown[2] or shown[1] >= shown[3]:
        raise InputError(
            f"expected a box that holds something of pictures of {source_size[1]}x{source_size[0]} in {path}, found "
            f"{list(box)}; {REMEDY}"
        )
    pictures = found.get("pictures", [])
    if odd := set(found.get("without_head", [])) - set(pictures):
        raise InputError(f"expected names of pictures as without_head in {path}, found {min(odd)}; {REMEDY}")
    made_of = found.get("source_pictures", [])
    if len(made_of) not in (0, len(pictures)):
        raise InputError(
            f"expected {len(pictures)} source_pictures in {path}, one for each picture, found {len(made_of)}; {REMEDY}"
        )
    without = found.get("without_head", [])
    return CropRecord(crop, pictures, made_of, without, found.get("source", {}), found.get("options"))


def _box(edges: Edges, name: str, path: Path) -> Box:
    x0, y0, x1, y1 = edges
    if x0 >= x1 or y0 >= y1:
        raise InputError(f"expected {name} as x0 y0 x1 y1 with x0 < x1, y0 < y1 in {path}, found {edges}; {REMEDY}")
    return x0, y0, x1, y1

"""Picture files: finding, measuring, reading and writing them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from vhap.data.png import encode_png
from vhap.util.commands import command
from vhap.util.errors import InputError
from vhap.util.files import read_bytes, write_bytes
from vhap.util.optional import import_or_explain

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
"""Of what is read, wherever pictures are looked for."""
FORMATS = "PNG, JPEG, BMP or TIFF"
NOT_READ = (
    ".avif", ".dng", ".exr", ".gif", ".hdr", ".heic", ".heif", ".jp2", ".jxl", ".pgm", ".ppm", ".tga", ".webp",
)  # fmt: skip
"""Pictures that a folder must not be taken to be empty of."""
EXIF_ORIENTATION = 0x0112
JPEG_QUALITY = 97
TAIL_BYTES = 4096
BMP_START, TIFF_STARTS = b"BM", (b"II*\0", b"MM\0*")
NAMED_AT_MOST = 5
BACKGROUNDS = {"white": (1.0, 1.0, 1.0), "black": (0.0, 0.0, 0.0)}


def list_pictures(folder: Path) -> dict[str, Path]:
    """Name without suffix -> file, frames in the order of the numbers in their names.

    Raises InputError where two files have one name, and where all are of a format that is not read. A folder that
    does not exist has no pictures.
    """
    found: dict[str, Path] = {}
    if not folder.is_dir():
        return found
    files = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")]
    for path in sorted(files, key=lambda path: (natural_order(path.stem), path.suffix)):
        if path.stem in found:
            raise InputError(
                f"expected one picture per name in {folder}, found {found[path.stem].name} and {path.name}; remove one"
            )
        found[path.stem] = path
    if not found:
        _require_none_unread(folder)
    return found


def _require_none_unread(folder: Path) -> None:
    unread = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in NOT_READ and path.name[0] != ".")
    if unread:
        raise InputError(
            f"expected pictures as {FORMATS} in {folder}, found {len(unread)} of another format "
            f"({some_names(unread)}); convert them"
        )


def natural_order(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that counts: frame_9 comes before frame_10. Plain order where zero-padded."""
    parts = re.split(r"(\d+)", name)
    key = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts if part)
    return (*key, (2, 0, name))


def picture_size(path: Path) -> tuple[int, int]:
    """(height, width) as it will be read, upright, from the file's two ends; InputError on a file cut short."""
    pil = import_or_explain("PIL.Image", "pip install pillow")
    try:
        with pil.open(path) as picture:
            width, height = picture.size
            # Asked of a PNG without EXIF data, getexif would decode the whole picture.
            turned = "exif" in picture.info and picture.getexif().get(EXIF_ORIENTATION, 1) >= 5
            if not _has_its_end(path):
                picture.load()
    except PermissionError:
        raise
    # A damaged picture raises almost any exception; all of them mean the same here.
    except Exception as error:
        raise unreadable(path) from error
    return (width, height) if turned else (height, width)


def common_size(paths: list[Path]) -> tuple[int, int]:
    """The (height, width) that all pictures share; InputError where they differ."""
    sizes = [picture_size(path) for path in paths]
    for path, size in zip(paths, sizes):
        if size != sizes[0]:
            raise InputError(
                f"expected pictures of one size, found {paths[0].name} with {_as_text(sizes[0])} and "
                f"{path.name} with "
                f"{_as_text(size)} (width x height) in {path.parent}; remove or resize the odd ones"
            )
    return sizes[0]


def read_rgb(path: Path) -> np.ndarray:
    """(H, W, 3) uint8, upright."""
    cv2 = import_or_explain("cv2")
    return cv2.cvtColor(_decoded(path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def read_stored(path: Path) -> np.ndarray:
    """What a file holds: (H, W), (H, W, 3) BGR or (H, W, 4) BGRA, uint8 or uint16."""
    cv2 = import_or_explain("cv2")
    return _decoded(path, cv2.IMREAD_UNCHANGED)


def read_alpha(path: Path) -> np.ndarray:
    """(H, W) uint8: the alpha channel where the file has one, else its brightness."""
    picture = read_stored(path)
    if picture.dtype == np.uint16:
        picture = (picture // 257).astype(np.uint8)
    if picture.ndim == 2:
        return picture
    return np.ascontiguousarray(picture[..., 3 if picture.shape[2] == 4 else 0])


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Writes (H, W, 3) RGB, (H, W, 4) RGBA (as PNG or TIFF, which hold it) or (H, W) grey, uint8, atomically; the
    suffix, one of SUFFIXES, chooses the format."""
    if path.suffix.lower() == ".png":
        write_bytes(path, encode_png(picture))
        return
    cv2 = import_or_explain("cv2")
    if picture.ndim == 3:
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR if picture.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if path.suffix.lower() in (".jpg", ".jpeg") else []
    # OpenCV's own writing reports success on a full disk.
    done, encoded = cv2.imencode(path.suffix.lower(), picture, options)
    if not done:
        raise ValueError(f"could not encode {path}")
    write_bytes(path, encoded.data)


def shrink(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The picture at (height, width), each pixel the mean of the area it covers."""
    if picture.shape[:2] == size:
        return picture
    cv2 = import_or_explain("cv2")
    return cv2.resize(picture, (size[1], size[0]), interpolation=cv2.INTER_AREA)


def composite(rgb: np.ndarray, alpha: np.ndarray, background_rgb: tuple[float, float, float]) -> np.ndarray:
    """rgb (H, W, 3) over a colour in [0, 1] by alpha (H, W), both uint8; rounded to uint8 once."""
    behind = np.asarray(background_rgb, np.float32) * 255
    over = np.empty(rgb.shape, np.uint8)
    over[:] = (behind + 0.5).astype(np.uint8)
    import_or_explain("cv2").copyTo(rgb, (alpha > 0).view(np.uint8), over)
    # Few pixels are neither the person nor the background: 0 and 255 alone are below 2 when 1 is added.
    mixed = np.flatnonzero(alpha + np.uint8(1) > 1)
    share = alpha.reshape(-1)[mixed][:, None].astype(np.float32) / 255
    mean = rgb.reshape(-1, 3)[mixed] * share + behind * (1 - share) + 0.5
    over.reshape(-1, 3)[mixed] = mean.astype(np.uint8)
    return over


def scaled_size(size: tuple[int, int], factor: float) -> tuple[int, int]:
    """(height, width) times a factor in (0, 1], which is what an InputError else says."""
    if not 0 < factor <= 1:
        raise InputError(f"expected a scale_factor above 0, at most 1, found {factor}; correct it")
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def require_shape(alpha_size: tuple[int, int], size: tuple[int, int], folder: Path) -> None:
    """InputError where alpha maps have not the pictures' shape. Maps may be of the full size while the pictures are
    downsampled, so that only the ratio of the sides has to agree, up to rounding."""
    if not same_shape(alpha_size, size):
        raise InputError(
            f"expected alpha maps of the pictures' shape ({_as_text(size)}) in {folder}, found "
            f"{_as_text(alpha_size)}; remove the folder and run `{command('preprocess-video')}` again"
        )


def same_shape(first: tuple[int, int], second: tuple[int, int]) -> bool:
    """Whether two sizes have the same ratio of height to width, up to rounding."""
    return abs(first[0] * second[1] - first[1] * second[0]) <= 2 * max(*first, *second)


def unreadable(path: Path) -> InputError:
    found = "nothing" if not path.exists() else "a damaged file or another format"
    return InputError(f"expected a readable picture ({FORMATS}) at {path}, found {found}; restore or remove it")


def some_names(names: list[str]) -> str:
    """The first few of many names, for messages."""
    more = len(names) - NAMED_AT_MOST
    return ", ".join(names[:NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")


def _decoded(path: Path, flags: int) -> np.ndarray:
    """The picture of a file, whose name need not be UTF-8 (OpenCV would not find it)."""
    cv2 = import_or_explain("cv2")
    content = read_bytes(path, "a picture")
    # OpenCV refuses a BMP or TIFF that is cut short.
    is_checked = content[:4] in TIFF_STARTS or content[:2] == BMP_START
    if not (is_checked or _is_whole(content[:2], content[-TAIL_BYTES:])):
        raise unreadable(path)
    encoded = np.frombuffer(content, np.uint8)
    try:
        picture = cv2.imdecode(encoded, flags)
        stored = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED) if content[:4] in TIFF_STARTS else picture
    except cv2.error as error:
        raise unreadable(path) from error
    # A TIFF may hold numbers of any range, which would be read as colours.
    if picture is None or stored is None or stored.dtype not in (np.uint8, np.uint16):
        raise unreadable(path)
    return picture


def _has_its_end(path: Path) -> bool:
    with open(path, "rb") as file:
        start = file.read(2)
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        return _is_whole(start, file.read())


def _is_whole(start: bytes, end: bytes) -> bool:
    """Whether the end marker stands near the end; OpenCV would fill the rest of a cut JPEG with grey."""
    return (b"\xff\xd9" if start == b"\xff\xd8" else b"IEND") in end


def _as_text(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"

"""What a video's stream says of its colours, fields and alpha, and the filters that make plain pictures of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vhap.data.ffmpeg import find_ffmpeg, has_component

PIXEL_FORMAT = re.compile(r", ([a-z][a-z0-9_]+)(?:\(([^)]*(?:\([^)]*\)[^)]*)*)\))?,? ")
ALPHA_FORMAT = re.compile(r"(yuva|rgba|bgra|argb|abgr|gbrap|ya8|ya16|yaf|ayuv|vuya|uyva|pal8)\w*")
DOLBY_VISION = re.compile(r"DOVI configuration record: .*?profile: (\d+).*?compatibility id: (\d+)")
ROTATION = re.compile(r"rotation of (-?\d+(?:\.\d+)?) degrees")
ALPHA_MODE = re.compile(r"alpha_mode\s*: 1\b", re.IGNORECASE)
HDR_TRANSFERS = {"arib-std-b67": "HLG", "smpte2084": "PQ"}
KNOWN_TRANSFERS = (*HDR_TRANSFERS, "bt709", "smpte170m", "bt470m", "bt470bg", "iec61966-2-1", "bt2020-10", "bt2020-12")
"""Of which zscale knows the curve; others are taken as BT.709's."""
WIDE_PRIMARIES = {"bt2020": "BT.2020", "smpte431": "DCI-P3", "smpte432": "Display P3"}
FIELD_ORDERS = ("top first", "bottom first", "top coded first (swapped)", "bottom coded first (swapped)")
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""ffmpeg's own decoders of these drop the alpha channel."""
SDR_WHITE_NITS = 100
PEAK = 10.0
"""Of the tone curve, in units of SDR white: 1000 cd/m2, HLG's nominal peak and that of most PQ masters."""
KNEE = 0.7
"""Up to here, in the same units, the curve changes nothing: skin keeps its colour, highlights are compressed."""


@dataclass(frozen=True)
class StreamProperties:
    """codec, pixel_format: as ffmpeg calls them. transfer, primaries: the same, "" where unknown.

    field_order: as ffmpeg prints it, "" where progressive or unknown. has_alpha: whether there is an alpha channel,
    opaque or not; is_premultiplied: whether colours are multiplied by it. dolby_vision: (profile, compatibility id) or
    None; id 0 means that no plain picture is inside. rotation_deg: 0 where upright.
    """

    codec: str = ""
    pixel_format: str = ""
    transfer: str = ""
    primaries: str = ""
    field_order: str = ""
    has_alpha: bool = False
    is_premultiplied: bool = False
    dolby_vision: tuple[int, int] | None = None
    rotation_deg: float = 0.0

    @property
    def is_hdr(self) -> bool:
        return self.transfer in HDR_TRANSFERS

    @property
    def is_wide(self) -> bool:
        """Whether colours have to be converted to BT.709 at all."""
        return self.is_hdr or self.primaries in WIDE_PRIMARIES


def read_properties(line: str, below: str) -> StreamProperties:
    """line: ffmpeg's "Stream ... Video: ..." of a stream. below: the lines after it, up to the next stream."""
    description = line.split(": Video: ", 1)[-1]
    codec = re.match(r"\w*", description)
    found = PIXEL_FORMAT.search(description + " ")
    pixel_format, notes = (found[1], found[2] or "") if found else ("", "")
    parts = [part.strip() for part in re.split(r", (?![^(]*\))", notes)]
    colours = next((part.split("/") for part in parts if part.count("/") == 2), None)
    if colours is None:
        # One name where matrix, primaries and transfer share it.
        single = next((part for part in parts if part.startswith(("bt", "smpte", "gbr"))), "")
        colours = [single] * 3
    matrix, primaries, transfer = ("" if name == "unknown" else name for name in colours)
    vision, rotation = DOLBY_VISION.search(below), ROTATION.search(below)
    name = codec[0] if codec else ""
    order = "dv" if name == "dvvideo" else next((part for part in parts if part in FIELD_ORDERS), "")
    return StreamProperties(
        codec=name,
        pixel_format=pixel_format,
        transfer=transfer,
        primaries=primaries or ("bt2020" if transfer in HDR_TRANSFERS or matrix.startswith("bt2020") else ""),
        field_order=order,
        has_alpha=bool(ALPHA_FORMAT.fullmatch(pixel_format) or (name in ALPHA_DECODERS and ALPHA_MODE.search(below))),
        is_premultiplied="premultiplied" in parts,
        dolby_vision=(int(vision[1]), int(vision[2])) if vision else None,
        rotation_deg=float(rotation[1]) if rotation else 0.0,
    )


def decoder_arguments(properties: StreamProperties) -> list[str]:
    """Options before the input: the decoder, where ffmpeg's choice would lose the alpha channel."""
    name = ALPHA_DECODERS.get(properties.codec)
    return ["-c:v", name] if name and properties.has_alpha and _can("decoders", name) else []


def can_decode_alpha(properties: StreamProperties) -> bool:
    """Whether there is an alpha channel that this ffmpeg gives out."""
    name = ALPHA_DECODERS.get(properties.codec)
    return properties.has_alpha and (name is None or _can("decoders", name))


def field_filters(properties: StreamProperties) -> list[str]:
    """One progressive frame of each interlaced one; which field is first is known for each frame by its decoder."""
    return (
        ["bwdif=mode=send_frame:parity=auto:deint=all"] if properties.field_order and _can("filters", "bwdif") else []
    )


def colour_filters(properties: StreamProperties) -> list[str]:
    """From the stream's colours to those of BT.709, display referred; none where they are so or unknown."""
    if not properties.is_wide or not _can_convert(properties):
        return _straight(properties)
    # swscale knows matrices, ranges, odd sizes; zscale knows curves and primaries.
    transfer = properties.transfer if properties.transfer in KNOWN_TRANSFERS else "bt709"
    source = f"min=gbr:rin=full:pin={properties.primaries}:tin={transfer}"
    filters = [*_straight(properties), "format=gbrp16le"]
    if properties.is_hdr:
        filters += [f"zscale={source}:t=linear:npl={SDR_WHITE_NITS}:m=gbr:r=full", "format=gbrpf32le"]
        filters += [
            "zscale=p=bt709",
            f"tonemap=tonemap=mobius:param={KNEE}:desat=0:peak={PEAK:g}",
            "zscale=t=bt709:m=gbr:r=full",
        ]
    else:
        filters += [f"zscale={source}:p=bt709:t={transfer}:m=gbr:r=full"]
    return [*filters, "format=gbrp"]


def conversions(properties: StreamProperties) -> list[str]:
    """What is done to the pictures beyond decoding, in words, for the log."""
    done = []
    if properties.is_wide and _can_convert(properties):
        what = HDR_TRANSFERS.get(properties.transfer) or WIDE_PRIMARIES[properties.primaries]
        done.append(
            f"HDR ({what}) tone-mapped to BT.709" if properties.is_hdr else f"colours ({what}) brought to BT.709"
        )
    if field_filters(properties):
        done.append("interlaced: deinterlaced, one picture a frame")
    if properties.is_premultiplied and colour_filters(properties):
        done.append("colours premultiplied by alpha: divided by it")
    return done


def shortcomings(properties: StreamProperties) -> list[str]:
    """What cannot be honoured, with the remedy, for warnings."""
    found = []
    if properties.is_wide and not _can_convert(properties):
        what = HDR_TRANSFERS.get(properties.transfer) or WIDE_PRIMARIES[properties.primaries]
        found.append(f"{what} colours stay as they are (this ffmpeg has no zscale); convert the video to BT.709")
    if properties.dolby_vision and properties.dolby_vision[1] == 0:
        profile = properties.dolby_vision[0]
        found.append(
            f"Dolby Vision profile {profile} has no plain picture: colours are wrong; export it as SDR or HDR10"
        )
    if properties.field_order and not field_filters(properties):
        found.append("interlaced, and this ffmpeg has no bwdif: combs stay; deinterlace the video")
    if properties.has_alpha and not can_decode_alpha(properties):
        decoder = ALPHA_DECODERS[properties.codec]
        found.append(f"its alpha channel is not read (this ffmpeg has no {decoder}); unset IMAGEIO_FFMPEG_EXE")
    if properties.rotation_deg % 90:
        found.append(f"it asks for a rotation of {properties.rotation_deg:g} degrees: pictures get black corners")
    return found


def _straight(properties: StreamProperties) -> list[str]:
    is_possible = properties.is_premultiplied and _can("filters", "unpremultiply")
    return ["format=gbrap", "unpremultiply=inplace=1"] if is_possible else []


def _can_convert(properties: StreamProperties) -> bool:
    return _can("filters", "zscale") and (not properties.is_hdr or _can("filters", "tonemap"))


def _can(kind: str, name: str) -> bool:
    return has_component(find_ffmpeg(), kind, name)

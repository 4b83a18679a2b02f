"""HDR, wide colours, ranges, fields: pictures are as those of the plain video."""

from fractions import Fraction

import numpy as np
import pytest

from vhap.data import video_properties
from vhap.data.video import probe_video, read_frames
from vhap.data.video_properties import StreamProperties, conversions, read_properties, shortcomings

SDR = "scale=out_color_matrix=bt709:out_range=tv,setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709"
LINEAR = "zscale=min=bt709:pin=bt709:tin=bt709:rin=tv:t=linear:npl=100,format=gbrpf32le"


def tags(primaries: str, transfer: str, matrix: str, colour_range: str = "tv") -> list[str]:
    return [
        "-color_primaries", primaries, "-color_trc", transfer, "-colorspace", matrix, "-color_range", colour_range,
    ]  # fmt: skip


def difference(first, second) -> float:
    pairs = list(zip(read_frames(first, Fraction(25)), read_frames(second, Fraction(25)), strict=True))
    return float(np.mean([np.abs(a.astype(float) - b).mean() for a, b in pairs]))


@pytest.fixture
def plain(make_video):
    return make_video("plain.mkv", "-vf", SDR, "-c:v", "ffv1", *tags("bt709", "bt709", "bt709"), duration=0.12)


@pytest.mark.parametrize(
    ("chain", "primaries", "transfer", "named"),
    [
        (f"{SDR},{LINEAR},zscale=p=bt2020:t=arib-std-b67:m=bt2020nc:npl=100", "bt2020", "arib-std-b67", "HLG"),
        (f"{SDR},{LINEAR},zscale=p=bt2020:t=smpte2084:m=bt2020nc:npl=100", "bt2020", "smpte2084", "PQ"),
        (f"{SDR},zscale=min=bt709:pin=bt709:tin=bt709:p=bt2020:t=bt2020-10:m=bt2020nc", "bt2020", "bt2020-10", "BT.2020"),
        (f"{SDR},zscale=min=bt709:pin=bt709:tin=bt709:p=smpte432", "smpte432", "bt709", "Display P3"),
    ],
)  # fmt: skip
def test_hdr_and_wide_colours_become_those_of_bt709(make_video, plain, chain, primaries, transfer, named):
    matrix = "bt709" if primaries == "smpte432" else "bt2020nc"
    video = make_video(
        "wide.mkv", "-vf", f"{chain},format=yuv420p10le", "-pix_fmt", "yuv420p10le", "-c:v", "ffv1",
        *tags(primaries, transfer, matrix), duration=0.12,
    )  # fmt: skip
    properties = probe_video(video).properties
    (line,) = conversions(properties)
    assert named in line
    assert shortcomings(properties) == []
    # The card's saturated colours, 4:2:0 and ten bits: what does no conversion differs by 10 to 40.
    assert difference(video, plain) < 6


def test_ranges_and_matrices_are_those_of_the_stream(make_video, plain):
    full = make_video(
        "full.mkv", "-vf", "scale=out_color_matrix=bt709:out_range=pc", "-c:v", "ffv1", "-pix_fmt", "yuvj420p",
        *tags("bt709", "bt709", "bt709", "pc"), duration=0.12,
    )  # fmt: skip
    old = make_video(
        "old.mkv", "-vf", "scale=out_color_matrix=smpte170m:out_range=tv", "-c:v", "ffv1",
        *tags("smpte170m", "smpte170m", "smpte170m"), duration=0.12,
    )  # fmt: skip
    for video in (full, old):
        assert conversions(probe_video(video).properties) == []
        assert difference(video, plain) < 1.5


def test_hdr_of_odd_size(make_video):
    video = make_video(
        "odd.mkv", "-vf", f"{SDR},format=yuv444p,{LINEAR},zscale=p=bt2020:t=smpte2084:m=bt2020nc,format=yuv420p10le",
        "-pix_fmt", "yuv420p10le", "-c:v", "ffv1", *tags("bt2020", "smpte2084", "bt2020nc"), size="63x47", duration=0.08,
    )  # fmt: skip
    assert next(read_frames(video, Fraction(25))).shape == (47, 63, 3)


@pytest.mark.parametrize(("scan", "suffix"), [("tff", "mp4"), ("bff", "mkv")])
def test_interlaced_video_has_no_combs(make_video, scan, suffix):
    """A bar that moves by six pixels a field: without deinterlacing, lines alternate."""
    moving = (
        "drawbox=w=iw:h=ih:c=black:t=fill,split[a][b];[b]crop=12:ih:0:0,lutyuv=y=235[c];[a][c]overlay=x=mod(6*n\\,90)"
    )
    video = make_video(
        f"fields.{suffix}", "-filter_complex", f"{moving},interlace=scan={scan}:lowpass=off", "-c:v", "libx264",
        "-flags", "+ildct+ilme", "-x264opts", f"{scan}=1", "-crf", "5", rate="50", size="96x64", duration=0.4,
    )  # fmt: skip
    properties = probe_video(video).properties
    (line,) = conversions(properties)
    assert "deinterlaced" in line
    frames = list(read_frames(video, Fraction(25)))
    assert len(frames) == 10
    combs = [np.abs(np.diff(frame[..., 0].astype(float), axis=0)).mean() for frame in frames[1:-1]]
    assert max(combs) < 4, "a combed bar gives more than 20"


def test_what_an_ffmpeg_without_the_parts_says(monkeypatch):
    monkeypatch.setattr(video_properties, "_can", lambda kind, name: False)
    properties = StreamProperties(
        "vp9", "yuv420p", "smpte2084", "bt2020", "top first", has_alpha=True, dolby_vision=(5, 0), rotation_deg=10.0
    )
    warnings = shortcomings(properties)
    for word in ("zscale", "Dolby Vision profile 5", "bwdif", "libvpx-vp9", "10 degrees"):
        assert len([line for line in warnings if word in line]) == 1, word
    assert conversions(properties) == []
    assert not video_properties.colour_filters(properties)


def test_lines_of_streams():
    line = (
        "  Stream #0:0[0x1](und): Video: hevc (Main 10) (dvhe / 0x65687664), yuv420p10le(tv, "
        "unknown/bt2020/arib-std-b67, top coded first (swapped)), 1920x1080, 25 fps, 25 tbr"
    )
    below = (
        "      DOVI configuration record: version: 1.0, profile: 8, level: 4, rpu flag: 1, el flag: 0, bl flag: 1, "
        "compatibility id: 4\n      displaymatrix: rotation of -90.00 degrees\n"
    )
    assert read_properties(line, below) == StreamProperties(
        "hevc", "yuv420p10le", "arib-std-b67", "bt2020", "top coded first (swapped)", False, False, (8, 4), -90.0
    )
    plain = read_properties("Stream #0:0: Video: rawvideo (BGRA / 0x41524742), bgra, 64x48, 25 fps", "")
    assert (plain.pixel_format, plain.has_alpha, plain.transfer) == ("bgra", True, "")

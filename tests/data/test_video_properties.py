"""HDR, wide colours, ranges, fields: pictures are as those of the plain video."""

from fractions import Fraction

import numpy as np
import pytest

from vhap.data import video_properties
from vhap.data.video import probe_video, read_frames
from vhap.data.video_properties import StreamProperties, conversions, read_properties, shortcomings

DARKER = "lutrgb=r=0.75*val:g=0.75*val:b=0.75*val"
PARAMS = "setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709"
SDR = f"{DARKER},scale=out_color_matrix=bt709:out_range=tv,format=yuv444p,{PARAMS}"
GIVEN = "zscale=min=bt709:pin=bt709:tin=bt709:rin=tv"
LINEAR = f"{GIVEN}:t=linear:npl=100,format=gbrpf32le"


LOSSLESS = ("-c:v", "ffv1")


def difference(first, second) -> float:
    pairs = list(zip(read_frames(first, Fraction(25)), read_frames(second, Fraction(25)), strict=True))
    return float(np.mean([np.abs(a.astype(float) - b).mean() for a, b in pairs]))


@pytest.fixture
def plain(make_video):
    return make_video("plain.mkv", "-vf", SDR, *LOSSLESS, duration=0.12)


@pytest.mark.parametrize(
    ("chain", "named"),
    [
        (f"{LINEAR},zscale=p=bt2020:t=arib-std-b67:m=bt2020nc:npl=100", "HLG"),
        (f"{LINEAR},zscale=p=bt2020:t=smpte2084:m=bt2020nc:npl=100", "PQ"),
        (f"{GIVEN}:p=bt2020:t=bt2020-10:m=bt2020nc", "BT.2020"),
        (f"{GIVEN}:p=smpte432", "Display P3"),
    ],
)
def test_hdr_and_wide_colours_become_those_of_bt709(make_video, plain, chain, named):
    video = make_video("wide.mkv", "-vf", f"{SDR},{chain},format=yuv444p10le", *LOSSLESS, duration=0.12)
    properties = probe_video(video).properties
    (line,) = conversions(properties)
    assert named in line
    assert shortcomings(properties) == []
    # Ten bits of PQ are steps of 1 % in light, which saturated colours show most. Unconverted: 10 to 40.
    assert difference(video, plain) < 5


def test_highlights_are_kept_apart(make_video):
    """A ramp from black to ten times SDR white: all of it rises, and its end is white."""
    ramp = "format=gbrpf32le,geq=r='X/6.3':g='X/6.3':b='X/6.3',zscale=min=gbr:rin=full:tin=linear:pin=bt709:npl=100"
    video = make_video(
        "ramp.mkv", "-vf", f"{ramp}:p=bt2020:t=smpte2084:m=bt2020nc:r=tv,format=yuv444p10le", *LOSSLESS, duration=0.04
    )
    row = next(read_frames(video, Fraction(25)))[20, :, 1].astype(int)
    assert (np.diff(row) >= 0).all()
    assert len(set(row)) > 15
    assert row[-1] >= 250


def test_ranges_and_matrices_are_those_of_the_stream(make_video, plain):
    for name, matrix, range_name in (("full", "bt709", "pc"), ("old", "smpte170m", "tv")):
        chain = f"{DARKER},scale=out_color_matrix={matrix}:out_range={range_name},format=yuv444p"
        params = f"setparams=range={range_name}:colorspace={matrix}:color_primaries=bt709:color_trc=bt709"
        video = make_video(f"{name}.mkv", "-vf", f"{chain},{params}", *LOSSLESS, duration=0.12)
        assert conversions(probe_video(video).properties) == []
        assert difference(video, plain) < 1.5


def test_hdr_of_odd_size(make_video):
    """zscale refuses 4:2:0 of odd sides."""
    params = "setparams=range=tv:colorspace=bt2020nc:color_primaries=bt2020:color_trc=smpte2084"
    video = make_video("odd.mkv", "-vf", f"format=yuv420p10le,{params}", *LOSSLESS, size="63x47", duration=0.08)
    assert probe_video(video).properties.is_hdr
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

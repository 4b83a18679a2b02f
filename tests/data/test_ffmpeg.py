"""ffmpeg opens the file that is meant, and nothing that the file names."""

import os
import shutil
from fractions import Fraction

import numpy as np
import pytest

from vhap.data.extraction import extract_pictures
from vhap.data.ffmpeg import input_arguments
from vhap.data.nersemble.frames import FrameReader
from vhap.data.video import frame_times, probe_video, read_frames
from vhap.evaluate.video import write_video
from vhap.util.errors import InputError

PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile {name}\n",
    "dash": '<?xml version="1.0"?>\n<!-- made by x -->\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>\n',
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    "byte order mark": "\ufeff\n#EXTM3U\n{secret}\n",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
@pytest.mark.parametrize("suffix", ["mp4", "m3u8", "txt"])
def test_playlists_are_refused(make_video, tmp_path, kind, suffix):
    secret = make_video("secret.mp4", duration=0.2)
    path = tmp_path / f"list.{suffix}"
    path.write_text(PLAYLISTS[kind].format(secret=secret, name=secret.name), encoding="utf-8")
    for read in (probe_video, frame_times, lambda path: extract_pictures(path, tmp_path / "clip", 25)):
        with pytest.raises(InputError, match="names other files") as caught:
            read(path)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "clip").exists()


def test_ffmpeg_itself_opens_no_playlist_and_no_network(tmp_path):
    arguments = input_arguments(tmp_path / "x.mp4")
    assert arguments[arguments.index("-protocol_whitelist") + 1] == "file"
    formats = set(arguments[arguments.index("-format_whitelist") + 1].split(","))
    assert not formats & {
        "hls",
        "concat",
        "dash",
        "webm_dash_manifest",
        "sdp",
        "rtsp",
        "avisynth",
        "vapoursynth",
        "imf",
    }


@pytest.mark.parametrize("folder", ["http:", "concat:a", "-", "pipe:"])
def test_names_that_ffmpeg_takes_for_something_else(make_video, tmp_path, monkeypatch, folder):
    video = make_video("clip.mp4", duration=0.2)
    monkeypatch.chdir(tmp_path)
    os.mkdir(folder)
    path = type(video)(folder) / "clip %d.mp4"
    shutil.copy(video, path)
    assert probe_video(path).size == (48, 64)
    assert len(list(read_frames(path, Fraction(25)))) == 5
    assert len(frame_times(path)[0]) == 5
    reader = FrameReader(path)
    assert reader.read(4).shape == (48, 64, 3)
    reader.close()
    assert extract_pictures(path, type(video)(folder) / "out", 25) == 5
    written = type(video)(folder) / "written.mp4"
    assert write_video(written, [np.zeros((32, 32, 3), np.uint8)] * 3, 25) == 3
    assert probe_video(written).size == (32, 32)


def test_a_name_that_begins_like_an_option(make_video, monkeypatch, tmp_path):
    shutil.copy(make_video("c.mp4", duration=0.2), tmp_path / "-c.mp4")
    monkeypatch.chdir(tmp_path)
    assert probe_video(type(tmp_path)("-c.mp4")).size == (48, 64)

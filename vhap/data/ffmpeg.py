"""Starting the ffmpeg that imageio-ffmpeg brings (or `IMAGEIO_FFMPEG_EXE` names): which one, and what it may open."""

from __future__ import annotations

import re
import subprocess
from functools import lru_cache
from pathlib import Path

from vhap.util.errors import InputError
from vhap.util.optional import import_or_explain

CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,asf,flv,live_flv,ogg,mxf,gxf,nut,dv,ivf,obu,"
    "h261,h263,h264,hevc,vvc,av1,vc1,dirac,cavsvideo,avs2,avs3,evc,mjpeg,mjpeg_2000,yuv4mpegpipe,gif,apng,webp_anim,rm,"
    "wtv,pva,swf,dhav,mlv,r3d,lxf,nsv,mtv,ea,smjpeg,image2,png_pipe,jpeg_pipe,webp_pipe,tiff_pipe,bmp_pipe"
)
"""Formats that hold their pictures themselves. Playlists and scripts (hls, concat, dash, sdp, avisynth) open others."""
PLAYLIST_BEGINNINGS = {
    b"#EXTM3U": "an HLS playlist",
    b"ffconcat version": "a list of files for ffmpeg",
    b"<MPD": "a DASH manifest",
    b"v=0": "a description of a stream (SDP)",
    b"[playlist]": "a playlist",
    b"<smil": "a playlist (SMIL)",
    b"<asx": "a playlist (ASX)",
}
ROOT_ELEMENT = re.compile(rb"<[A-Za-z]\w*")
HEAD_BYTES = 1024


def find_ffmpeg() -> str:
    """Path of the program. Raises InputError where there is none."""
    library = import_or_explain("imageio_ffmpeg", "pip install imageio-ffmpeg")
    try:
        return library.get_ffmpeg_exe()
    except RuntimeError as error:
        raise InputError(
            "expected ffmpeg from the package imageio-ffmpeg, found none for this machine; install ffmpeg "
            "and set "
            "IMAGEIO_FFMPEG_EXE to its path"
        ) from error


def file_url(path: Path) -> str:
    """The file as ffmpeg opens it whatever its name: `http:/x.mp4`, `-x.mp4` and `concat:x` are files and folders."""
    return f"file:{path.absolute()}"


def input_arguments(path: Path) -> list[str]:
    """What makes ffmpeg read this file, and nothing that the file names."""
    return ["-protocol_whitelist", "file", "-format_whitelist", CONTAINERS, "-i", file_url(path)]


def require_file(path: Path) -> None:
    """InputError where there is no file, or one that is no video but names others."""
    if not path.is_file():
        raise InputError(
            f"expected a video at {path}, found {'a folder' if path.is_dir() else 'nothing'}; check the path"
        )
    with open(path, "rb") as file:
        head = file.read(HEAD_BYTES).removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.startswith(b"<"):  # XML may begin with a declaration and comments
        element = ROOT_ELEMENT.search(head)
        head = element[0] if element else head
    for beginning, kind in PLAYLIST_BEGINNINGS.items():
        if head.lower().startswith(beginning.lower()):
            raise InputError(
                f"expected a video at {path}, found {kind}, which names other files; give the video itself, or join "
                "its parts into one mp4"
            )


@lru_cache(maxsize=64)
def has_component(ffmpeg: str, kind: str, name: str) -> bool:
    """Whether this ffmpeg was built with a component. kind: `filters`, `decoders`."""
    listed = subprocess.run([ffmpeg, "-hide_banner", f"-{kind}"], capture_output=True, text=True, errors="replace")
    return any(line.split()[1:2] == [name] for line in listed.stdout.splitlines())


def last_line(messages: str, path: Path) -> str:
    """The last thing that ffmpeg wrote about an input, without its name."""
    lines = [line.strip() for line in messages.splitlines() if line.strip() and "At least one output" not in line]
    lines = [line for line in lines if not line.startswith(("Error opening input file", "Conversion failed"))] or lines
    if not lines:
        return "it holds no frames"
    return lines[-1].replace(f"{file_url(path)}: ", "").replace(file_url(path), path.name)

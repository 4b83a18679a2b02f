"""Where everything of a synthetic rig's recording lies, in each of the layouts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vhap.synthetic.writer import DETECTOR_FILES

RigLayout = Literal["nersemble_v1", "nersemble_v2", "benchmark_nvs", "benchmark_mono", "multiview", "single_frame"]
CameraFile = Literal["camera_params", "transforms", "colmap"]
BENCHMARKS = {"benchmark_nvs": "nvs", "benchmark_mono": "mono_flame_avatar"}
"""Layout -> the folder of that benchmark."""


@dataclass(frozen=True)
class RigFiles:
    """One sequence under `root`. subject matters for NeRSemble only, camera_file for multiview only. In a
    single_frame the pictures' names, which are its cameras' serials, take the timestep's place.

    kept_back: cameras that are calibrated and whose recordings are not given, as the benchmark has them.
    """

    root: Path
    layout: RigLayout
    subject: str
    sequence: str
    image_format: str
    camera_file: CameraFile = "transforms"
    kept_back: tuple[str, ...] = ()

    @property
    def is_nersemble(self) -> bool:
        """Whether the files are named and the cameras arranged as in that dataset, of which the benchmark is a part."""
        return self.layout in ("nersemble_v1", "nersemble_v2", *BENCHMARKS)

    @property
    def is_benchmark(self) -> bool:
        return self.layout in BENCHMARKS

    @property
    def has_point_clouds(self) -> bool:
        return self.layout == "benchmark_nvs"

    @property
    def has_colors(self) -> bool:
        """Whether there are colour calibrations and plates of the empty scene."""
        return self.is_nersemble and not self.is_benchmark

    @property
    def folder(self) -> Path:
        """Of the sequence."""
        return self._sequences / self.sequence

    @property
    def _sequences(self) -> Path:
        below = {"nersemble_v1": self.subject, "nersemble_v2": f"{self.subject}/sequences"}
        below |= {layout: f"{benchmark}/{below['nersemble_v2']}" for layout, benchmark in BENCHMARKS.items()}
        return self.root / below.get(self.layout, ".")

    @property
    def truth(self) -> Path:
        return self.folder / "ground_truth"

    @property
    def settings(self) -> Path:
        return self.truth / "settings.json"

    @property
    def vertices(self) -> Path:
        return self.truth / "vertices.npy"

    @property
    def params(self) -> Path:
        return self.truth / "tracked_flame_params_0.npz"

    @property
    def cameras(self) -> Path:
        """The calibration's file."""
        if self.layout == "nersemble_v1":
            return self.root / "camera_params" / self.subject / "camera_params.json"
        if self.layout == "nersemble_v2" or self.is_benchmark:
            return self._sequences.parent / "calibration" / "camera_params.json"
        if self.layout == "single_frame":
            return self.folder / "camera_info.json"
        colmap = "sparse/0/images.txt"
        return self.folder / (colmap if self.camera_file == "colmap" else f"{self.camera_file}.json")

    @property
    def _frames(self) -> Path:
        """The benchmark gives videos only: pictures of all its cameras are part of the truth."""
        return self.truth if self.is_benchmark else self.folder

    def color(self, serial: str) -> Path:
        """The colour calibration: of a camera in v1, of all in v2."""
        if self.layout == "nersemble_v1":
            return self.root / "color_correction" / self.subject / f"{serial}.npy"
        return self.root / self.subject / "calibration" / "color_calibration.json"

    def picture_name(self, serial: str, timestep: str) -> str:
        """Below images/ or alpha_maps/, without suffix."""
        if self.layout == "single_frame":
            return serial
        return f"cam_{serial}_{timestep}" if self.is_nersemble else f"{serial}/{timestep}"

    def image(self, serial: str, timestep: str) -> Path:
        return self._frames / "images" / f"{self.picture_name(serial, timestep)}.{self.image_format}"

    def alpha(self, serial: str, timestep: str) -> Path:
        if self.layout == "single_frame":
            return self.folder / "images" / f"{serial.removesuffix('_original')}_matting.png"
        return self._frames / "alpha_maps" / f"{self.picture_name(serial, timestep)}.png"

    def landmarks(self, landmark_set: str, serial: str) -> Path:
        return self._frames / "landmark2d" / DETECTOR_FILES[landmark_set] / f"{serial}.npz"

    def video(self, serial: str) -> Path:
        folder = self.folder / "images" if self.layout == "nersemble_v2" or self.is_benchmark else self.folder
        return folder / (f"cam_{serial}.mp4" if self.is_nersemble else f"{serial}.mp4")

    def alpha_video(self, serial: str) -> Path:
        return self.folder / "alpha_maps" / f"cam_{serial}.mp4"

    def point_cloud(self, timestep: int) -> Path:
        return self.folder / "pointclouds" / f"frame_{timestep:05d}.pcd"

    @property
    def flame_tracking(self) -> Path:
        """Of benchmark_mono, the second version, which is the current one."""
        return self.folder / "tracking" / "flame2023_tracking_v2.npz"

    @property
    def metadata(self) -> Path:
        """Of the benchmark: which timesteps its sequences have."""
        return self.root / BENCHMARKS[self.layout] / "metadata.json"

    def given(self, serials: Sequence[str]) -> list[str]:
        """Cameras whose recordings are given."""
        return [serial for serial in serials if serial not in self.kept_back]

    def background(self, serial: str) -> Path:
        return self._sequences / "BACKGROUND" / f"image_{serial}.jpg"

    def has_frame(self, serial: str, timestep: str) -> bool:
        return self.image(serial, timestep).is_file() and self.alpha(serial, timestep).is_file()

    def complete(
        self, serials: Sequence[str], timesteps: Sequence[str], landmark_sets: Sequence[str], videos: bool
    ) -> bool:
        """Whether every file is there that is of this sequence alone."""
        single = [self.vertices, self.params, self.cameras, self.truth / "landmarks.npz", self.truth / "cameras.json"]
        for serial in serials:
            single += [self.landmarks(name, serial) for name in landmark_sets]
            single += [self.color(serial), self.background(serial)] if self.has_colors else []
        for serial in self.given(serials):
            single += [self.video(serial)] if videos else []
            single += [self.alpha_video(serial)] if self.is_benchmark else []
        if self.has_point_clouds:
            single += [self.point_cloud(t) for t in range(len(timesteps))]
        frames = all(self.has_frame(serial, timestep) for serial in serials for timestep in timesteps)
        return frames and all(path.is_file() for path in single)

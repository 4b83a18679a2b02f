"""From videos of one person to what GaussianAvatars trains on, and the trainer's command.

python examples/gaussian_avatars.py --videos talk.mp4 walk.mp4 --head flame --no-quick     # it poses FLAME
"""

from __future__ import annotations

from pathlib import Path

import tyro
from tiny import FOLDER, QUICK, film

from vhap.api import combine, export, preprocess, track


def main(
    videos: tuple[Path, ...] = (),
    person: str = "anna",
    folder: Path = FOLDER,
    head: str = "builtin",
    quick: bool = True,
) -> Path:
    """quick: landmarks only. Without videos, two tiny films of one head."""
    if not videos:
        films = [film(folder, f"clip{number}", size=192, max_yaw=10 * number) for number in (1, 2)]
        videos = tuple(path.with_suffix(".mp4") for path in films)
    options = {**QUICK, "landmark_source": "mediapipe"} if quick else {}
    datasets = []
    for video in videos:
        sequence = preprocess(video, output_folder=folder / "avatar" / video.stem)
        run = track(sequence, output_folder=folder / "avatar_runs" / video.stem, **{**options, "head": head})
        datasets.append(export(run, folder / "export" / f"{person}_{video.stem}", background_color="white"))
    union = combine(datasets, folder / "export" / f"{person}_union")
    print(f"python train.py -s {union} -m output/{person} --bind_to_mesh --white_background --eval")
    return union


if __name__ == "__main__":
    tyro.cli(main)

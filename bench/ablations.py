"""What each part of the tracker is worth: one film, its video preprocessed like a user's, tracked without the part.

`first guess of zeros` starts from a neutral head at the origin instead of the landmarks' first guess; later stages use
landmarks as ever.

    python bench/ablations.py --output OUT --head builtin --frames 60 --size 512 --seed 0
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from common import MEASURES, FilmOptions, film_data, make_film, measure_cells, run_config, track
from tables import markdown_table

from vhap.cli import parse
from vhap.config.track import TrackConfig
from vhap.fit.loop import Tracker
from vhap.fit.params import initial_params
from vhap.pipeline.track import with_surface
from vhap.render.shading import uniform_lights
from vhap.util.errors import exits_cleanly


@dataclass(frozen=True)
class AblationsConfig(FilmOptions):
    seed: int = 0
    """Person, light, camera and motion of the film."""


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(AblationsConfig, __doc__, args)
    film = make_film(config, config.seed)
    data = film_data(config, film, "detector")
    rows = []
    for name, change in VARIANTS.items():
        variant = change(run_config(config, data, f"{film.name}_{name.replace(' ', '_')}"))
        rows.append([name, *measure_cells(track(variant, film, start_from_zeros if name == ZEROS else None))])
    print(markdown_table(["variant", *MEASURES], rows))


def unchanged(config: TrackConfig) -> TrackConfig:
    return config


def without_offsets(config: TrackConfig) -> TrackConfig:
    return replace(config, model=replace(config.model, use_static_offset=False))


def without_silhouette(config: TrackConfig) -> TrackConfig:
    return replace(config, w=replace(config.w, silhouette=0.0))


def without_temporal_terms(config: TrackConfig) -> TrackConfig:
    smooth = {name: 0.0 for name in vars(config.w) if name.startswith("smooth_")}
    return replace(config, w=replace(config.w, **smooth))


def start_from_zeros(tracker: Tracker) -> None:
    scene = tracker.scene
    neutral = initial_params(scene.head, tracker.params.n_timesteps, 1, uniform_lights())
    tracker.params = with_surface(neutral, scene, tracker.config.model)


ZEROS = "first guess of zeros"
VARIANTS: dict[str, Callable[[TrackConfig], TrackConfig]] = {
    "full": unchanged,
    "without offsets": without_offsets,
    "without the silhouette term": without_silhouette,
    "without temporal terms": without_temporal_terms,
    ZEROS: unchanged,
}


if __name__ == "__main__":
    main()

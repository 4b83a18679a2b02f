"""The steps that prepare a relightable avatar's subject, one after the other. Each completes what is missing; points
and codes that others made are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vhap.config.relightable import (
    AlbedoConfig,
    CropConfig,
    IrisConfig,
    KeypointConfig,
    OptimizeConfig,
    ReconstructConfig,
    RelightableConfig,
)
from vhap.config.report import ReportConfig
from vhap.pipeline import (
    relightable_albedo,
    relightable_codes,
    relightable_crop,
    relightable_fit,
    relightable_points,
    report,
)
from vhap.pipeline.albedo_record import is_made_otherwise
from vhap.pipeline.heads import configured_head, resolved
from vhap.pipeline.relightable_capture import subject_capture
from vhap.pipeline.relightable_runs import finished_subject_run
from vhap.relightable.subject_folder import SubjectFolder
from vhap.util.log import get_logger


def run(config: RelightableConfig) -> Path:
    """Returns the page of the fit. InputError, before anything is written, where the head cannot be used."""
    subject = SubjectFolder(config.source / config.name)
    optimize = _fit_options(config, subject)
    model = resolved(relightable_fit.model_options(optimize))
    relightable_fit.require_flame(model, optimize)
    crop = CropConfig(
        config.source,
        config.name,
        fps=config.fps,
        image_size=config.image_size,
        matting=True,
        crop_image=True,
        mask_clothes=config.mask_clothes,
        keep_masks=config.keep_masks,
        parsing=config.parsing,
        person=config.person,
        device=config.device,
    )
    relightable_crop.check_options(crop)
    # A head to parse by is there only after the fit.
    relightable_crop.run(replace(crop, parsing="auto") if config.parsing == "mesh" else crop)
    is_ours = (subject.path / "landmark2d" / "mediapipe.npz").is_file()
    if is_ours or not subject.keypoints.is_file():
        relightable_points.run_keypoints(KeypointConfig(subject.path, device=config.device))
    if is_ours or not subject.irises.is_file():
        relightable_points.run_irises(IrisConfig(subject.path))
    relightable_fit.run(optimize)
    if config.keep_masks:
        relightable_crop.run(crop)
    images = subject.image_folder
    if model.head == "flame" and not relightable_codes.has_codes(subject):
        relightable_codes.run(
            ReconstructConfig(
                images,
                subject.path / "deca",
                head=config.head,
                flame_model_path=config.flame_model_path,
                device=config.device,
            )
        )
    albedo = _albedo_options(config, subject)
    if is_made_otherwise(albedo):
        get_logger().warning("%s was made by another method and is kept", subject.albedo_folder)
    else:
        relightable_albedo.run(albedo)
    fit = finished_subject_run(subject, subject_capture(subject), configured_head(model).identity)
    assert fit is not None, subject.path
    page = fit / "report.html"
    return page if page.is_file() else report.run(ReportConfig(fit))


def _fit_options(config: RelightableConfig, subject: SubjectFolder) -> OptimizeConfig:
    return OptimizeConfig(
        subject.path,
        shape_from=config.shape_from,
        n_shape=100,
        n_expr=50,
        with_translation=True,
        head=config.head,
        allow_other_head=config.allow_other_head,
        flame_model_path=config.flame_model_path,
        gnm_path=config.gnm_path,
        ict_facekit_path=config.ict_facekit_path,
        device=config.device,
    )


def _albedo_options(config: RelightableConfig, subject: SubjectFolder) -> AlbedoConfig:
    return AlbedoConfig(
        subject.image_folder,
        subject.albedo_folder,
        image_interval=config.image_interval,
        head=config.head,
        flame_model_path=config.flame_model_path,
        gnm_path=config.gnm_path,
        ict_facekit_path=config.ict_facekit_path,
        device=config.device,
    )

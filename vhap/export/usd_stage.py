"""What every part of a USD file is made of: Pixar's modules, names that it admits, textured materials, bytes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from vhap.util.optional import import_or_explain

INSTALL = 'pip install "vhap[usd]"'
MODULES = ("Gf", "Sdf", "Tf", "Usd", "UsdGeom", "UsdShade", "UsdSkel", "Vt")


def usd_modules() -> Any:
    """Modules of the package pxr as attributes; InputError where it is missing."""
    return SimpleNamespace(**{name: import_or_explain(f"pxr.{name}", INSTALL) for name in MODULES})


def new_stage(pxr: Any, codes: np.ndarray, fps: float) -> Any:
    """A stage in memory: metres, y up, from the first to the last of the time codes (T,), fps of them a second."""
    stage = pxr.Usd.Stage.Open(pxr.Sdf.Layer.CreateAnonymous(".usdc"))
    pxr.UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    pxr.UsdGeom.SetStageUpAxis(stage, pxr.UsdGeom.Tokens.y)
    stage.SetStartTimeCode(float(codes[0]))
    stage.SetEndTimeCode(float(codes[-1]))
    stage.SetTimeCodesPerSecond(fps)
    stage.SetFramesPerSecond(fps)
    return stage


def stage_bytes(stage: Any) -> bytes:
    """The content of its usdc file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "stage.usdc")
        stage.GetRootLayer().Export(str(path))
        return path.read_bytes()


def identifiers(pxr: Any, names: Iterable[str], prefix: str = "") -> list[str]:
    """Names of prims: letters, digits and `_`; those that would be alike get their number behind them."""
    found: list[str] = []
    for number, name in enumerate(names):
        valid = pxr.Tf.MakeValidIdentifier(prefix + name)
        found.append(valid if valid not in found else f"{valid}_{number}")
    return found


def textured_material(pxr: Any, stage: Any, path: str, pictures: Mapping[float, str], colour: str) -> Any:
    """A material whose surface shows pictures at the UVs `st`: one, or another from each time code on.

    pictures: time code -> path beside the stage. colour: diffuseColor, or emissiveColor for one that no light changes.
    """
    types, shade = pxr.Sdf.ValueTypeNames, pxr.UsdShade
    material = shade.Material.Define(stage, path)

    def shader(name: str, kind: str) -> Any:
        made = shade.Shader.Define(stage, f"{path}/{name}")
        made.CreateIdAttr(kind)
        return made

    reader, texture = shader("St", "UsdPrimvarReader_float2"), shader("Texture", "UsdUVTexture")
    surface = shader("Surface", "UsdPreviewSurface")
    reader.CreateInput("varname", types.String).Set("st")
    files = texture.CreateInput("file", types.Asset)
    files.Set(pxr.Sdf.AssetPath(f"./{next(iter(pictures.values()))}"))
    for code, name in pictures.items() if len(pictures) > 1 else ():
        files.Set(pxr.Sdf.AssetPath(f"./{name}"), code)
    texture.CreateInput("sourceColorSpace", types.Token).Set("sRGB")
    for axis in ("wrapS", "wrapT"):
        texture.CreateInput(axis, types.Token).Set("clamp")
    texture.CreateInput("st", types.Float2).ConnectToSource(reader.CreateOutput("result", types.Float2))
    rgb = texture.CreateOutput("rgb", types.Float3)
    surface.CreateInput("diffuseColor", types.Color3f).Set(pxr.Gf.Vec3f(0))
    surface.CreateInput(colour, types.Color3f).ConnectToSource(rgb)
    surface.CreateInput("roughness", types.Float).Set(1.0)
    surface.CreateInput("metallic", types.Float).Set(0.0)
    material.CreateSurfaceOutput().ConnectToSource(surface.CreateOutput("surface", types.Token))
    return material


def add_mesh(
    pxr: Any, stage: Any, path: str, points: np.ndarray, faces: np.ndarray, uvs: np.ndarray, uv_faces: np.ndarray
) -> Any:
    """A mesh of polygons, not subdivided: points (V, 3), faces (F, N), uvs (U, 2) with uv_faces (F, N) as `st`."""
    vt, geom = pxr.Vt, pxr.UsdGeom
    mesh = geom.Mesh.Define(stage, path)
    points = np.asarray(points, np.float32)
    mesh.CreatePointsAttr(vt.Vec3fArray.FromNumpy(points))
    mesh.CreateExtentAttr(vt.Vec3fArray.FromNumpy(np.stack([points.min(0), points.max(0)])))
    mesh.CreateFaceVertexCountsAttr(int_array(pxr, np.full(len(faces), faces.shape[1])))
    mesh.CreateFaceVertexIndicesAttr(int_array(pxr, faces))
    mesh.CreateSubdivisionSchemeAttr(geom.Tokens.none)
    kind = pxr.Sdf.ValueTypeNames.TexCoord2fArray
    st = geom.PrimvarsAPI(mesh).CreatePrimvar("st", kind, geom.Tokens.faceVarying)
    st.Set(vt.Vec2fArray.FromNumpy(np.ascontiguousarray(uvs, np.float32)))
    st.SetIndices(int_array(pxr, uv_faces))
    return mesh


def bind_material(pxr: Any, mesh: Any, material: Any) -> None:
    pxr.UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim()).Bind(material)


def int_array(pxr: Any, values: np.ndarray) -> Any:
    return pxr.Vt.IntArray.FromNumpy(np.ascontiguousarray(values, np.int32).reshape(-1))


def matrix(pxr: Any, values: np.ndarray) -> Any:
    """(4, 4) of column vectors -> USD's, of row vectors."""
    return pxr.Gf.Matrix4d(np.asarray(values, np.float64).T.tolist())

"""Face parsing by BiSeNet with weights of github.com/zllrunning/face-parsing.PyTorch (MIT licence): the 19 classes of
CelebAMask-HQ, a number a pixel.

Its `l_` classes are the subject's left, which is on the image's right: so they are drawn in that repository's own
example picture.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vhap.detect.bisenet import BiSeNet
from vhap.detect.torchscript import choose_device, to_tensor
from vhap.detect.weights import FACE_PARSING, find_weights
from vhap.util.errors import InputError, shown
from vhap.util.optional import import_or_explain

SIDE_PX = 512
"""Of the square that the network sees; other pictures are squeezed into it, as they were in training."""
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
ANOTHER_PARSING = "take --parsing mediapipe or mesh, which need no weights"
COUNTER = "num_batches_tracked"
"""Of batches in training; old versions of torch did not write it, and inference does not read it."""


class FaceParsing:
    """One picture at a time, no state between them."""

    def __init__(self, weights: Path | None = None, device: str = "auto", otherwise: str = ANOTHER_PARSING) -> None:
        """weights: the file 79999_iter.pth, None: where `find_weights` looks. device: auto, cpu or cuda. InputError
        where there are no weights, or a file that is none."""
        path = find_weights(FACE_PARSING, weights, otherwise=otherwise)
        self._device = choose_device(device)
        self._network = load_bisenet(path).to(self._device)

    def classes(self, picture: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 RGB -> (H, W) uint8, 0 to 18."""
        cv2 = import_or_explain("cv2")
        image = import_or_explain("PIL.Image", "pip install pillow")
        # Pillow's bilinear filter averages where it shrinks; the weights were trained on what it makes.
        small = image.fromarray(picture).resize((SIDE_PX, SIDE_PX), image.Resampling.BILINEAR)
        source = standardised(to_tensor(np.array(small), self._device))
        with torch.inference_mode():
            found = self._network(source)[0].argmax(0).to(torch.uint8).cpu().numpy()
        return cv2.resize(found, (picture.shape[1], picture.shape[0]), interpolation=cv2.INTER_NEAREST_EXACT)


def standardised(pictures: Tensor) -> Tensor:
    """(B, 3, H, W) in [0, 1] -> with ImageNet's mean and deviation taken out."""
    mean, deviation = (pictures.new_tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (pictures - mean) / deviation


def load_bisenet(path: Path) -> BiSeNet:
    """The network ready for inference on the CPU. No code of the file is run. InputError for a file that does not hold
    every parameter in its shape, and nothing else."""
    network = BiSeNet()
    expected = network.state_dict()
    found = _read_parameters(path)
    needed = {name for name in expected if not name.endswith(COUNTER)}
    given = {name for name in found if not name.endswith(COUNTER)}
    if missing := sorted(needed - given):
        raise _other_file(path, f"{len(missing)} of {len(needed)} parameters missing (first: {missing[0]})")
    if more := sorted(given - needed):
        raise _other_file(path, f"{len(more)} parameters that it does not have (first: {shown(more[0])})")
    for name in sorted(needed):
        if found[name].shape != expected[name].shape:
            raise _other_file(path, f"{name} of shape {tuple(found[name].shape)}, not {tuple(expected[name].shape)}")
        if not found[name].is_floating_point() or not found[name].isfinite().all():
            raise _other_file(path, f"{name} with values that are no finite real numbers")
    network.load_state_dict({**expected, **{name: found[name] for name in needed}})
    return network.eval().requires_grad_(False)


def _read_parameters(path: Path) -> Mapping[str, Tensor]:
    try:
        with warnings.catch_warnings():
            # Of protocols that torch did not write; what comes of them is checked all the same.
            warnings.simplefilter("ignore", UserWarning)
            found = torch.load(path, map_location="cpu", weights_only=True)
    except (MemoryError, PermissionError):
        raise
    # A file that is no checkpoint raises almost any exception; all of them mean the same here.
    except Exception as error:
        raise _other_file(path, "no file of torch.save, a damaged one, or one with code in it") from error
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise _other_file(path, "something else than named tensors")
    return {str(name): value for name, value in found.items()}


def _other_file(path: Path, found: str) -> InputError:
    return InputError(
        f"expected the weights of {FACE_PARSING.network} in {path}, found {found}; get {FACE_PARSING.files[0]} from "
        f"{FACE_PARSING.url}, or {ANOTHER_PARSING}"
    )

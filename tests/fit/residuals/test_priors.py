"""Priors of a frame's unknowns follow what a head's expressions are."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch

from vhap.fit.residuals.landmark_problem import LandmarkPrior
from vhap.fit.residuals.motion import N_MOTION
from vhap.fit.residuals.priors import frame_priors
from vhap.head.builtin import load_builtin

PRIOR = LandmarkPrior()


def test_named_statistics_have_the_spread_of_anonymous_ones_and_activations_their_own():
    activations = load_builtin().keep_coefficients(24, 3)
    statistics, anonymous = replace(activations, unit_variance=True), replace(activations, expr_names=())
    values = torch.zeros(1, N_MOTION + 3)
    values[0, N_MOTION:] = torch.tensor([0.5, -0.5, 2.0])
    found = {}
    for name, head in (("activations", activations), ("statistics", statistics), ("anonymous", anonymous)):
        problem: Any = SimpleNamespace(head=head, prior=PRIOR)
        found[name] = [part[0, N_MOTION:] for part in frame_priors(problem, values, torch.zeros_like(values))]
    torch.testing.assert_close(found["statistics"], found["anonymous"])
    torch.testing.assert_close(found["statistics"][1], torch.full((3,), PRIOR.expr))
    assert found["activations"][1][1] == PRIOR.below_zero
    assert found["activations"][1][0] == PRIOR.blink

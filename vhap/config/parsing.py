"""How class maps are made."""

from __future__ import annotations

from typing import Literal

ParsingMethod = Literal["auto", "mediapipe", "mesh", "face-parsing"]
"""mediapipe: MediaPipe's networks, and colours. mesh: a tracked head, and colours. face-parsing: BiSeNet, whose weights
are a file of yours. auto: face-parsing where its weights are found, else mediapipe, and where there is a run its head
for the classes that MediaPipe's networks lack."""

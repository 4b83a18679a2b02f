"""Calibrated cameras: the world they live in, and mistakes they are written with."""

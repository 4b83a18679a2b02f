"""A head's motion as another head's: identity, offsets, pose and expression that put one surface onto the other."""

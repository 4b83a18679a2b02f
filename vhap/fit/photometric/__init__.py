"""Second order on pictures: all of them together, the albedo eliminated."""

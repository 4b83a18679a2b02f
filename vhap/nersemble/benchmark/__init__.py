"""The NeRSemble benchmark: novel views, monocular FLAME avatars, single-view face reconstruction."""

"""A subject's folder as trainers of relightable avatars read it: pictures without background, and JSON files of the
head beside them."""

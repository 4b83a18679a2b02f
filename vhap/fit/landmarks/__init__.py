"""Second order on landmarks: the first guess, and what landmarks say beside pictures."""

"""The NeRSemble kits that go beyond a capture: the benchmark, its data and its submissions."""

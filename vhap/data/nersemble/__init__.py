"""The NeRSemble dataset, version 2: what it holds, its download, access to its pictures."""

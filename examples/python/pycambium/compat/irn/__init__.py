"""Stands for `misc` of jiwoon-ahn/irn: `from pycambium.compat.irn import indexing`."""

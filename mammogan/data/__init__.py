"""Data sets: from CBIS-DDSM in any of its shapes to one folder of 8-bit squares with a manifest."""

"""Mammogan: synthetic mammograms of the rare class, from CBIS-DDSM to a registered WGAN-GP generator."""

__version__ = "0.1.0"

"""From a CBIS-DDSM release to one verified folder of images with a manifest."""

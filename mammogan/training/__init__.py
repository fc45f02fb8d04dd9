"""The WGAN-GP losses, the training loop, its augmentation and its checkpoints."""

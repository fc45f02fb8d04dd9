"""Feature networks and their weights: the critic's frozen DenseNet121, the extractors of KID and FID, that of LPIPS."""

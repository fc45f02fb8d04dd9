"""Files of the published ones' shapes with random weights: the real ones cannot be had without a download."""

from unittest import mock

import torch
from torch_fidelity import feature_extractor_inceptionv3 as module


def write_inception(path):
    """He-normal convolutions keep the features' scale; BatchNorm stands off the identity, so that folding shows."""
    rng = torch.Generator().manual_seed(0)
    network = module.FeatureExtractorInceptionV3
    with (
        mock.patch.object(module, "load_state_dict_from_url"),
        mock.patch.object(network, "load_state_dict"),
        torch.random.fork_rng(),
    ):
        model = network("inception", ["2048"])
    for layer in model.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=rng)
        elif isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.copy_(torch.rand(layer.running_mean.shape, generator=rng) - 0.5)
            layer.running_var.copy_(torch.rand(layer.running_var.shape, generator=rng) + 0.5)
            layer.weight.data.copy_(torch.rand(layer.weight.shape, generator=rng) + 0.5)
    torch.save(model.state_dict(), path)
    return path

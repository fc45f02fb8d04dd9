import pytest
import torch

from mammogan.models.generator import (
    Generator,
    draw_latents,
    load_generator,
    sample,
    save_snapshot,
    to_float,
    to_uint8,
)

UPSAMPLING = ("transposed", "interpolated")


@pytest.fixture(params=UPSAMPLING)
def generator(request):
    torch.manual_seed(0)
    return Generator(28, 10, 8, request.param)


@pytest.mark.parametrize("upsampling", UPSAMPLING)
@pytest.mark.parametrize("size", [28, 56, 112, 224])
def test_shape_and_range(size, upsampling):
    torch.manual_seed(0)
    images = Generator(size, 12, 16, upsampling)(torch.randn(2, 12))
    assert images.shape == (2, 1, size, size)
    assert images.abs().max() <= 1
    assert images.std() > 0.05


@pytest.mark.parametrize("size", [14, 27, 64, 0])
def test_other_sides_are_refused(size):
    with pytest.raises(ValueError, match=f"size={size}: use 7"):
        Generator(size, 10, 8)


def test_paper_generator_has_the_maps_of_figure_3():
    generator = Generator(224, 100, 256)
    shapes = []
    for block in (generator.norm, *generator.blocks, generator.last):
        block.register_forward_hook(lambda _module, _inputs, output: shapes.append(tuple(output.shape[1:])))
    generator(torch.randn(2, 100))
    assert shapes == [(256, 7, 7), (128, 14, 14), (64, 28, 28), (32, 56, 56), (32, 112, 112), (1, 224, 224)]


def test_interpolating_generator_convolves_at_the_full_side_too():
    generator = Generator(224, 100, 256, "interpolated")
    shapes = []
    for block in (generator.norm, *generator.blocks, generator.last):
        block.register_forward_hook(lambda _module, _inputs, output: shapes.append(tuple(output.shape[1:])))
    generator(torch.randn(2, 100))
    assert shapes[:5] == [(256, 7, 7), (128, 14, 14), (64, 28, 28), (32, 56, 56), (32, 112, 112)]
    assert shapes[5:] == [(16, 224, 224), (1, 224, 224)]


def test_untrained_the_interpolating_generator_draws_no_pattern_of_stride_2():
    """Even and odd columns differ in the variance over many images of the transposed one, hardly of the other."""
    torch.manual_seed(0)
    contrast = {}
    for upsampling in UPSAMPLING:
        generator = Generator(56, 16, 32, upsampling)
        with torch.no_grad():
            spread = generator(torch.randn(64, 16)).var(0)[0, 14:-14, 14:-14]
        by_place = torch.stack([spread[i::2, j::2].mean() for i in (0, 1) for j in (0, 1)])
        contrast[upsampling] = (by_place.max() / by_place.min() - 1).item()
    assert contrast["interpolated"] < 0.2 * contrast["transposed"], contrast


@pytest.mark.parametrize(("written", "upsampling"), [({}, "transposed"), ({"doubling": "upsampled"}, "interpolated")])
def test_a_snapshot_of_the_first_format_gives_the_same_images(tmp_path, written, upsampling):
    generator = Generator(28, 10, 8, upsampling)
    save_snapshot(generator, 3, tmp_path / "g.pt")
    snapshot = torch.load(tmp_path / "g.pt", weights_only=True)
    assert snapshot.pop("upsampling") == upsampling
    torch.save(snapshot | written | {"format": 1}, tmp_path / "g.pt")
    assert torch.equal(sample(load_generator(tmp_path / "g.pt"), 2, seed=1), sample(generator, 2, seed=1))


def test_snapshot_restores_the_same_images(generator, tmp_path):
    generator(torch.randn(16, 10))
    save_snapshot(generator, 3, tmp_path / "g.pt")
    restored = load_generator(tmp_path / "g.pt")
    assert not restored.training
    assert torch.equal(sample(restored, 5, seed=1), sample(generator, 5, seed=1))


@pytest.mark.parametrize("content", [b"", b"no snapshot"])
def test_a_file_that_is_no_snapshot_is_refused(tmp_path, content):
    (tmp_path / "g.pt").write_bytes(content)
    with pytest.raises(ValueError, match="no generator snapshot"):
        load_generator(tmp_path / "g.pt")


@pytest.mark.parametrize(
    "fields", [{"latent_dim": 2**40}, {"channels": 2**24}, {"size": 7 * 2**9}, {"channels": 2**20}]
)
def test_no_memory_is_taken_for_what_a_file_says_but_does_not_hold(generator, tmp_path, fields):
    save_snapshot(generator, 1, tmp_path / "g.pt")
    torch.save(torch.load(tmp_path / "g.pt", weights_only=True) | fields, tmp_path / "g.pt")
    with pytest.raises(ValueError, match=r"no generator snapshot \([\w.]+ has the shape .*, in its network "):
        load_generator(tmp_path / "g.pt")


@pytest.mark.parametrize("where", ["torch.load", "mammogan.models.generator.Generator.load_state_dict"])
@pytest.mark.parametrize("error", [MemoryError, torch.OutOfMemoryError])
def test_a_machine_without_memory_is_no_fault_of_the_file(generator, tmp_path, monkeypatch, where, error):
    def fail(*_, **__):
        raise error("no memory")

    save_snapshot(generator, 1, tmp_path / "g.pt")
    monkeypatch.setattr(where, fail)
    monkeypatch.setattr("mammogan.features.saved._is_short_of", lambda _: True)
    with pytest.raises(error, match="no memory"):
        load_generator(tmp_path / "g.pt")


def test_an_unknown_format_is_refused(generator, tmp_path):
    save_snapshot(generator, 1, tmp_path / "g.pt")
    snapshot = torch.load(tmp_path / "g.pt", weights_only=True) | {"format": 99}
    torch.save(snapshot, tmp_path / "g.pt")
    with pytest.raises(ValueError, match="format 99"):
        load_generator(tmp_path / "g.pt")


@pytest.mark.parametrize("batch_size", [1, 3, 20, 64])
def test_samples_do_not_depend_on_the_batch_size(generator, batch_size):
    generator(torch.randn(16, 10))
    reference = sample(generator, 20, seed=5)
    assert reference.shape == (20, 1, 28, 28)
    assert reference.dtype == torch.uint8
    assert torch.equal(sample(generator, 20, seed=5, batch_size=batch_size), reference)
    assert generator.training


def test_latents_are_a_prefix_of_longer_ones_and_depend_on_the_seed():
    assert torch.equal(draw_latents(3, 100, seed=0), draw_latents(50, 100, seed=0)[:3])
    assert not torch.equal(draw_latents(3, 100, seed=0), draw_latents(3, 100, seed=1))


def test_uint8_round_trip_is_exact():
    every_grey = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    floats = to_float(every_grey)
    assert (floats.min(), floats.max()) == (-1, 1)
    assert torch.equal(to_uint8(floats), every_grey)


def test_a_file_that_lacks_a_field_is_refused_by_the_fields_name(tmp_path):
    torch.save({"format": 1, "size": 28, "state_dict": {}}, tmp_path / "critic.pt")
    with pytest.raises(ValueError, match=r"critic\.pt': no generator snapshot \(it has no field 'latent_dim'\)"):
        load_generator(tmp_path / "critic.pt")

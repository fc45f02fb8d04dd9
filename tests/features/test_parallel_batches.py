import threading

import pytest
import torch

from mammogan.features.parallel_batches import map_batches

CPU = torch.device("cpu")


@pytest.fixture(params=[1, 2, 3, 8])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_results_come_in_order_and_the_threads_are_given_back(threads, batch_size):
    images = torch.arange(23.0).view(23, 1)
    seen = list(map_batches(lambda batch: batch * 2, images, batch_size, CPU))
    assert torch.cat(seen).tolist() == (images * 2).tolist()
    assert torch.get_num_threads() == threads
    in_new_thread = []
    fresh = threading.Thread(target=lambda: in_new_thread.append(torch.get_num_threads()))
    fresh.start()
    fresh.join()
    assert in_new_thread == [threads]


def test_no_more_images_are_under_way_than_a_batch_and_what_waits(threads):
    started, taken = [], 0
    for result in map_batches(lambda batch: started.append(len(batch)) or len(batch), torch.zeros(64, 1), 8, CPU):
        assert sum(started) - taken <= 8 + 8
        taken += result
    assert taken == 64


def test_a_failure_is_raised_and_the_threads_are_given_back(threads):
    def fail(batch):
        raise ValueError("broken image")

    with pytest.raises(ValueError, match="broken image"):
        list(map_batches(fail, torch.zeros(9, 1), 2, CPU))
    assert torch.get_num_threads() == threads


def test_an_accelerator_gets_whole_batches_from_one_thread(threads):
    me = threading.get_ident()
    sizes = map_batches(lambda x: (len(x), threading.get_ident()), torch.zeros(10, 1), 4, torch.device("cuda"))
    assert list(sizes) == [(4, me), (4, me), (2, me)]

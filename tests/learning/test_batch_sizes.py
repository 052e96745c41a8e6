"""How large batches are in the released scripts, and how small they may be."""

import pytest
import torch
from helpers import assert_identical, net, small_split, tiny_resnet, twin

from learning.images import batches
from learning.training import task_batch_size, trains_alone


@pytest.mark.parametrize(("task", "size"), [("full_class", 64), ("sub_class", 64), ("random", 128)])
def test_task_batch_sizes_are_the_released_scripts(task, size):
    assert task_batch_size(small_split(task)) == size


def test_one_image_trains_where_batchnorm_has_several_values_of_it():
    """At 32 pixels a side ResNet18's last maps are of 4x4; at the digits' 8 of one value."""
    assert trains_alone(tiny_resnet(), 32)
    assert not trains_alone(tiny_resnet(), 8)
    assert trains_alone(net(), 8)


def test_asking_whether_one_image_trains_changes_nothing():
    model = tiny_resnet()
    original, random_state = twin(model), torch.get_rng_state()
    trains_alone(model, 32)
    assert model.training
    assert_identical(model, original)
    assert torch.equal(torch.get_rng_state(), random_state)


@pytest.mark.parametrize(("batch_size", "sizes"), [(48, [48] * 6), (287, [287]), (400, [288])])
def test_a_last_batch_that_is_not_whole_can_be_omitted(batch_size, sizes):
    images = small_split("full_class").train.take(torch.arange(288))
    data = batches(images, tiny_resnet(), batch_size, shuffle=True, whole_only=True)
    assert [len(y) for _, y, _ in data] == sizes
    assert len(data) == len(sizes)

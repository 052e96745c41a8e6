"""Features: what the head is given, and what the stages give."""

import pytest
import torch
from helpers import Net, tiny_resnet, tiny_split, tiny_vit
from torch import nn

from common.errors import UserError
from learning.features import before_head, by_stage, head_of, stages
from learning.images import batches
from metrics import logits_of


@pytest.mark.parametrize("network", [tiny_resnet, tiny_vit, Net])
def test_the_head_turns_features_into_logits(network):
    model = network().eval()
    images = tiny_split().train
    features = before_head(model, batches(images, model, 16))
    logits = head_of(model)(features)
    assert torch.allclose(logits, logits_of(model, images), atol=1e-5)
    assert not head_of(model)._forward_pre_hooks


def test_a_network_that_ends_otherwise_is_refused():
    with pytest.raises(UserError, match="ends in Softmax"):
        head_of(nn.Sequential(nn.Linear(2, 2), nn.Softmax(1)))


def test_the_head_may_lie_in_a_group_of_layers():
    linear = nn.Linear(2, 2)
    assert head_of(nn.Sequential(nn.Flatten(), nn.Sequential(nn.Dropout(), linear))) is linear


def test_the_stages_of_a_resnet_and_of_a_vit():
    assert list(stages(tiny_resnet())) == ["layer1", "layer2", "layer3", "layer4"]
    names = list(stages(tiny_vit()))
    assert len(names) == 2  # it has two blocks
    assert names[-1].endswith(".1")


@pytest.mark.parametrize("network", [tiny_resnet, tiny_vit, Net])
def test_features_of_a_stage_do_not_depend_on_the_batches(network):
    model = network().eval()
    images = tiny_split().train
    whole = by_stage(model, batches(images, model, len(images)))
    parts = by_stage(model, batches(images, model, 7))
    assert list(whole) == list(stages(model))
    for name in whole:
        assert whole[name].shape[0] == len(images)
        assert torch.allclose(whole[name], parts[name], atol=1e-5)


def test_the_last_stage_of_a_resnet_gives_the_features_before_the_head():
    model = tiny_resnet().eval()
    data = batches(tiny_split().train, model, 16)
    last = by_stage(model, data)["layer4"]
    assert torch.allclose(last, before_head(model, data), atol=1e-6)

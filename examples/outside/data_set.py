"""A data set of your own for the harness: give its function to -dataset.

    python pretrain_model.py -net ResNet18Slim -dataset examples/outside/data_set.py:squares
    python forget_sub_class_main.py -net ResNet18Slim \\
        -dataset examples/outside/data_set.py:squares \\
        -forget_class "bright left" -method ssd -alpha 5 -lambda 1
"""

import torch

from learning.augment import Augmentation
from learning.images import image_set

CLASSES = ("left", "right")
FINE_CLASSES = ("bright left", "dark left", "bright right", "dark right")
SIDE = 16  # pixels


def squares(data, size, protocol):
    """(training set, test set): a bright or a dark square on the left or on the right.

    data: the folder of -data. size: pixels a side to which images from files should be resized.
    protocol: learning.protocol's. This one needs none of them.
    """
    return _part(400, seed=1), _part(100, seed=2)


def _part(count, seed):
    generator = torch.Generator().manual_seed(seed)
    fine_labels = torch.arange(count) % 4
    pixels = torch.randint(60, 120, (count, 3, SIDE, SIDE), generator=generator).to(torch.uint8)
    for image, fine_label in zip(pixels, fine_labels.tolist(), strict=True):
        is_right, is_dark = fine_label >= 2, fine_label % 2 == 1
        columns = slice(9, 14) if is_right else slice(2, 7)
        image[:, 5:11, columns] = 0 if is_dark else 255
    return image_set(
        "squares",
        pixels,
        fine_labels // 2,
        CLASSES,
        # A mirrored image is of the other class.
        Augmentation(crop=SIDE, padding=1, flip=False, degrees=0),
        fine_labels=fine_labels,
        fine_classes=FINE_CLASSES,
    )

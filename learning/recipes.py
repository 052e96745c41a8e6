"""By which recipe a network is trained: epochs, milestones, learning rates."""

RECIPES = {  # (network, data set): epochs, milestones, learning rate; the published ones, then ours
    ("ResNet18", "Cifar100"): (200, (60, 120, 160), 0.1),
    ("ResNet18", "PinsFaceRecognition"): (200, (60, 120, 160), 0.1),
    ("ResNet18", "Cifar20"): (40, (15, 30, 35), 0.1),
    ("ResNet18", "Cifar10"): (20, (8, 12, 16), 0.1),
    ("ViT", "Cifar10"): (
        8,
        (7,),
        0.01,
    ),  # the rate for ViT is published nowhere; at ResNet18's 0.1 it diverges
    ("ViT", "Cifar100"): (8, (7,), 0.01),
    ("ViT", "Cifar20"): (9, (8,), 0.01),
    ("ResNet18Slim", "Digits"): (20, (8, 12, 16), 0.05),
    ("ResNet18Slim", "DigitShapes"): (20, (8, 12, 16), 0.05),
}


OTHER = {
    "ResNet18": (20, (8, 12, 16), 0.1),
    "ResNet18Slim": (20, (8, 12, 16), 0.1),
    "ViT": (8, (7,), 0.01),
}


def recipe(net, dataset):
    """Pre-training's published settings as a dict: epochs, milestones, lr, warm, batch_size, numerics."""
    count, milestones, lr = RECIPES.get((net, dataset), OTHER[net])
    return {
        "epochs": count,
        "milestones": list(milestones),
        "lr": lr,
        "warm": 1,
        "batch_size": 64,
        "numerics": "fp32",
    }


def lr_factor(step, steps_per_epoch, warm, milestones):
    """What multiplies the learning rate at a step: a line from 0 over `warm` epochs, then 0.2 at each milestone passed."""
    epoch = step / steps_per_epoch
    return (
        epoch / warm if epoch < warm else 0.2 ** sum(epoch >= milestone for milestone in milestones)
    )

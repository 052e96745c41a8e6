"""The plain way: these experiments as the authors' scripts run them, in a process of its own for every run. The yardstick.

    python -m benchmarks.plain DATA CHECKPOINT CLASS METHOD [ALPHA LAMBDA]      prints a line of JSON

Images are decoded one by one into Python lists, networks compute in fp32 with channels first, attack probabilities are
collected at batch size 1, every score is a pass of its own, I_D is computed for every request. Written from the papers
for readability; it shares no code with the project. What is computed is the paper's reading, so that results can be compared.
"""

import common.threads  # noqa: F401 (before torch)

import copy
import json
import math
import os
import random
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms

MEAN = (0.5070751592371323, 0.48654887331495095, 0.4409178433670343)
STD = (0.2673342858792401, 0.2564384629170883, 0.27615047132568404)
PLAIN = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
CROPPED = transforms.RandomCrop(32, padding=4)
AUGMENTED = transforms.Compose(
    [CROPPED, transforms.RandomHorizontalFlip(), transforms.RandomRotation(15)]
)
DEVICE = os.environ.get("PLAIN_DEVICE", "cpu")


def pictures(folder):
    """[(PIL image, label)], class by class."""
    found = []
    for label, name in enumerate(sorted(os.listdir(folder))):
        for file in sorted(os.listdir(os.path.join(folder, name))):
            found.append((Image.open(os.path.join(folder, name, file)).convert("RGB"), label))
    return found


def decoded(folder):
    """[(tensor [3, 32, 32], label)], class by class."""
    return [(PLAIN(picture), label) for picture, label in pictures(folder)]


def network(num_classes, checkpoint=None):
    """torchvision's ResNet18 with the stem for small images."""
    model = torchvision.models.resnet18(num_classes=num_classes)
    model.conv1, model.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    if checkpoint:
        model.load_state_dict(load_file(checkpoint))
    return model.eval().to(DEVICE)


def batches(data, batch_size, shuffle=False):
    for x, y in DataLoader(data, batch_size, shuffle):
        yield x.to(DEVICE), y.to(DEVICE)


class Pictures(torch.utils.data.Dataset):
    """Augmented by PIL in the main process, image by image."""

    def __init__(self, found, size=32):
        self.found, self.size = found, size

    def __len__(self):
        return len(self.found)

    def __getitem__(self, i):
        picture, label = self.found[i]
        x = PLAIN(AUGMENTED(picture))
        return (
            x
            if self.size == 32
            else transforms.functional.resize(x, [self.size] * 2, antialias=True)
        ), label


def train(
    model,
    data,
    epochs,
    optimizer,
    loss=lambda model, x, y: F.cross_entropy(model(x), y),
    batch_size=64,
):
    model.train()
    for _ in range(epochs):
        for x, y in batches(data, batch_size, shuffle=True):
            optimizer.zero_grad()
            loss(model, x, y).backward()
            optimizer.step()
    return model.eval()


# ---- scores, each by a pass of its own ----


@torch.no_grad()
def accuracy(model, data):
    right = sum(int((model(x).argmax(1) == y).sum()) for x, y in batches(data, 64))
    return 100 * right / len(data)


@torch.no_grad()
def probabilities(model, data):
    """[N, C], one image at a time."""
    return torch.cat([F.softmax(model(x), 1) for x, _ in batches(data, 1)])


def entropy(p):
    return -torch.where(p > 0, p * p.log(), p).sum(1, keepdim=True)


def mia(model, retain, forget, test):
    # In double precision: on float32 features scikit-learn 1.9's lbfgs may stop at its first step (LOG.md, 2026-11-25).
    members, forgotten, others = (
        entropy(probabilities(model, data)).double().cpu().numpy()
        for data in (retain, forget, test)
    )
    is_member = np.concatenate([np.ones(len(members)), np.zeros(len(others))])
    centre = (members.mean() + others.mean()) / 2
    attack = LogisticRegression(C=2.0, class_weight="balanced", tol=1e-10, max_iter=1000)
    attack.fit(np.concatenate([members, others]) - centre, is_member)
    return 100 * float(attack.predict(forgotten - centre).mean())


@torch.no_grad()
def zrf(model, untrained, data):
    divergences = []
    for x, _ in batches(data, 64):
        p, q = (F.softmax(network(x), 1) for network in (model, untrained))
        m = (p + q) / 2
        divergences.append(
            (F.kl_div(m.log(), p, reduction="none") + F.kl_div(m.log(), q, reduction="none")).sum(1)
            / 2
        )
    return 1 - float(torch.cat(divergences).mean())


def scores(model, train_set, test_set, forgotten):
    retain, forget = parted(train_set, forgotten)
    retain_test, forget_test = parted(test_set, forgotten)
    untrained = network(model.fc.out_features)
    return {
        "TestAcc": accuracy(model, test_set),
        "RetainTestAcc": accuracy(model, retain_test),
        "Df": accuracy(model, forget_test),
        "MIA": mia(model, retain, forget, test_set),
        "ZRF": zrf(model, untrained, forget_test),
    }


def parted(data, forgotten):
    return [item for item in data if item[1] != forgotten], [
        item for item in data if item[1] == forgotten
    ]


# ---- methods ----


def importances(model, data, norm=False, batch_size=64):
    total = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for x, y in batches(data, batch_size):
        model.zero_grad()
        logits = model(x)
        (logits.pow(2).sum(1).mean() if norm else F.cross_entropy(logits, y)).backward()
        for name, p in model.named_parameters():
            total[name] += p.grad.clone().abs() if norm else p.grad.clone().pow(2)
    return {name: value / math.ceil(len(data) / batch_size) for name, value in total.items()}


def ssd(model, train_set, forget, alpha, lam, norm=False):
    full, part = importances(model, train_set, norm), importances(model, forget, norm)
    selected = []
    with torch.no_grad():
        for name, p in model.named_parameters():
            chosen = part[name] > alpha * full[name]
            p[chosen] *= (lam * full[name][chosen] / part[name][chosen]).clamp(max=1)
            selected.append(chosen.flatten())
    return torch.cat(selected)


def fisher(model, data):
    """Diagonal Fisher of single samples over every label: one image and one backward pass a label at a time."""
    total = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for x, _ in batches(data, 1):
        logits = model(x)
        p_label = F.softmax(logits, 1).detach()[0]
        for label in range(len(p_label)):
            model.zero_grad()
            F.cross_entropy(logits, torch.tensor([label], device=DEVICE)).backward(
                retain_graph=True
            )
            for name, p in model.named_parameters():
                total[name] += p_label[label] * p.grad.pow(2)
    return {name: value / len(data) for name, value in total.items()}


def finetune(model, retain, forget, num_classes):
    return train(
        model, retain, 5, torch.optim.SGD(model.parameters(), 0.02, momentum=0.9, weight_decay=5e-4)
    )


def amnesiac(model, retain, forget, num_classes):
    wrong = [(x, random.choice([c for c in range(num_classes) if c != y])) for x, y in forget]
    return train(
        model, retain + wrong, 3, torch.optim.Adam(model.parameters(), 1e-4), batch_size=128
    )


def bad_teacher(model, retain, forget, num_classes):
    original, untrained = copy.deepcopy(model), network(num_classes)
    some = random.sample(retain, int(0.3 * len(retain)))

    def loss(model, x, is_forgotten):
        with torch.no_grad():
            goal = torch.where(
                is_forgotten[:, None] == 1, F.softmax(untrained(x), 1), F.softmax(original(x), 1)
            )
        return F.kl_div(F.log_softmax(model(x), 1), goal, reduction="batchmean")

    data = [(x, 0) for x, _ in some] + [(x, 1) for x, _ in forget]
    return train(model, data, 1, torch.optim.Adam(model.parameters(), 1e-4), loss, batch_size=256)


def unsir(model, retain, forget, num_classes):
    forgotten = forget[0][1]
    noise = torch.randn(32, 3, 32, 32, device=DEVICE, requires_grad=True)
    optimizer, labels = torch.optim.Adam([noise], 0.1), torch.full((32,), forgotten, device=DEVICE)
    for _ in range(25):
        optimizer.zero_grad()
        (
            -F.cross_entropy(model(noise), labels) + 0.1 * noise.pow(2).sum((1, 2, 3)).mean()
        ).backward()
        optimizer.step()
    kept = [
        item for c in range(num_classes) for item in [item for item in retain if item[1] == c][:500]
    ]
    impair = kept + [(image, forgotten) for _ in range(80) for image in noise.detach().cpu()]
    train(model, impair, 1, torch.optim.Adam(model.parameters(), 1e-4), batch_size=32)
    return train(model, kept, 1, torch.optim.Adam(model.parameters(), 1e-4), batch_size=128)


def main(data, checkpoint, forgotten, method, alpha=10.0, lam=1.0):
    train_set, test_set = decoded(os.path.join(data, "train")), decoded(os.path.join(data, "test"))
    num_classes = 1 + max(y for _, y in train_set)
    model, forgotten = network(num_classes, checkpoint), int(forgotten)
    retain, forget = parted(train_set, forgotten)
    start, selected = time.perf_counter(), None
    if method in ("ssd", "lfssd"):
        selected = ssd(model, train_set, forget, float(alpha), float(lam), norm=method == "lfssd")
    elif method != "baseline":
        globals()[method](model, retain, forget, num_classes)
    seconds = time.perf_counter() - start
    print(
        json.dumps(
            {
                "scores": scores(model, train_set, test_set, forgotten),
                "seconds": seconds,
                "selected": None if selected is None else float(selected.double().mean()),
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])

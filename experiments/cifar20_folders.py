"""CIFAR-100 as folders of images under its 20 coarse labels, by hard links: a two-level Folder.

    python -m experiments.cifar20_folders data/cifar100 data/cifar20
    python forget_sub_class_main.py -net ResNet18Slim -dataset Folder -data data/cifar20 \\
        -forget_class rocket -method ssd

It takes DIR/train/<fine class>/ and DIR/test/<fine class>/. No image is copied.
"""

import common.threads  # noqa: F401 (before torch)

import os
from pathlib import Path

from common.console import parser, progress, run_script
from common.errors import UserError
from learning.cifar import CIFAR20_CLASSES, CIFAR20_COARSE, CIFAR100_CLASSES
from learning.folders import class_folders


def main(argv=None):
    flags = parser(__doc__)
    flags.add_argument("source", help="holds train/<fine class>/ and test/<fine class>/")
    flags.add_argument("target", help="gets train/<class>/<fine class>/ and test/...")
    args = flags.parse_args(argv)
    count = 0
    for part in ("train", "test"):
        source, target = Path(args.source) / part, Path(args.target) / part
        missing = sorted(set(CIFAR100_CLASSES) - set(class_folders(source)))
        if missing:
            raise UserError(f"{source} lacks {len(missing)} of CIFAR-100's classes: {missing[0]}")
        for name in progress(CIFAR100_CLASSES, f"linking {part}"):
            count += link_all(source / name, target / coarse_of(name) / name)
    print(f"{count} images below {args.target}")


def coarse_of(fine_name: str) -> str:
    """The coarse class that a fine class belongs to."""
    fine_label = CIFAR100_CLASSES.index(fine_name)
    for coarse_label, members in enumerate(CIFAR20_COARSE):
        if fine_label in members:
            return CIFAR20_CLASSES[coarse_label]
    raise AssertionError(fine_name)


def link_all(source: Path, target: Path) -> int:
    """Link the files of a folder into another; returns how many there are."""
    target.mkdir(parents=True, exist_ok=True)
    files = sorted(path for path in source.iterdir() if path.is_file())
    for file in files:
        link = target / file.name
        if not link.exists():
            os.link(file.resolve(), link)
    return len(files)


if __name__ == "__main__":
    run_script(main)

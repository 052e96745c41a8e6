"""Lists of the training images that networks memorise most and least, for -forget_list.

    forget_random_main.py -net ResNet18Slim -dataset Digits -recipe fast -forget_perc 0.3 \\
        -method retrain -seed 0-31 -outputs -results subsets
    python -m experiments.memorised_images subsets --count 29 --to lists

The first line (give it to sweep.py) trains 32 networks, each without another 30 % of the images.
The second writes lists/high.txt and lists/low.txt: the images that are right least often, and most
often, without having been learned (audits/memorisation.py).
"""

import common.threads  # noqa: F401 (before torch)

from pathlib import Path

from audits.memorisation import of_outputs
from common.console import parser, run_script
from common.errors import UserError
from common.files import write_whole
from runs import outputs, records


def main(argv=None):
    flags = parser(__doc__)
    flags.add_argument("results", help="folder with the records of retrain and their outputs")
    flags.add_argument("--count", type=int, required=True, help="images in a list")
    flags.add_argument("--to", required=True, metavar="DIR", help="where the lists go")
    args = flags.parse_args(argv)
    networks, count = subset_networks(Path(args.results))
    values = of_outputs(networks, count)
    known = values.isfinite().nonzero().flatten()
    if not 0 < args.count <= len(known) // 2:
        raise UserError(
            f"--count {args.count}: the memorisation of {len(known)} images is known; "
            f"name a number from 1 to {len(known) // 2}, or train more networks"
        )
    # Equal ones in the order of their positions.
    order = known[values[known].argsort(stable=True)]
    lists = {"high": order[-args.count :], "low": order[: args.count]}
    for name, positions in lists.items():
        path = Path(args.to) / f"{name}.txt"
        lines = [str(position) for position in positions.sort().values.tolist()]
        write_whole(path, ("\n".join(lines) + "\n").encode())
        mean = float(values[positions].mean())
        print(f"{path}: {args.count} images, mean memorisation {mean:.3f}")


def subset_networks(folder):
    """(outputs of the retrained networks, number of training images)."""
    paths = {path.name: path for path in folder.rglob("*.outputs.safetensors")}
    networks, sizes = [], set()
    for record in records.read_all(folder):
        kept = record.get("outputs")
        is_subset = record["task"] == "random" and record["config"]["method"] == "retrain"
        if not kept or not is_subset or kept["file"] not in paths:
            continue
        tensors = outputs.read(paths[kept["file"]], kept["checksum"])
        if tensors is not None:
            networks.append(tensors)
            sizes.add(record["sizes"]["D"])
    if len(networks) < 2 or len(sizes) > 1:
        raise UserError(
            f"{folder} holds {len(networks)} retrained networks with outputs; it must hold several "
            "of one data set, by forget_random_main.py -method retrain -outputs"
        )
    return networks, sizes.pop()


if __name__ == "__main__":
    run_script(main)

"""What a network knows before it sees a mill: a linear probe on the frozen features of each start.

    python nbs/benchmarks/starts.py --data ../shared/neu-det --start resnet50=START.safetensors

Random weights of a ResNet-50, ImageNet weights of tf_efficientnet_lite0, and every start given (as
those of general_start.py), on the training part of NEU-DET and on the generated mills of
recipe_search.py that are not drawn by `make_steel` (a general start has learned from such steel).
A logistic regression judges images whose metal it has not seen (`training.search`), under both
normalisations. A smaller log loss is a better start. No network is trained. Row after row goes into
starts.json beside this file; a start measured again takes the place of its old rows."""
import argparse
from pathlib import Path

import torch

from common import NEU_FOLDER, cpu_name, json_beside, make_parser, read_json, write_json
from defect_nbdev.core.models import find_model
from defect_nbdev.datasets.splits import apply_manifest, read_manifest
from defect_nbdev.model import make_backbone
from defect_nbdev.training.search import RecipeProbe
from recipe_search import WEIGHTS, prepare

RESULT = json_beside(__file__)
MILLS = 'levels', 'plates'
SIZES = {'neu':160, 'levels':128, 'plates':224}
IMAGES = 300 # that the probe sees of a folder


def parse_start(text):
    "BACKBONE=FILE as (name, backbone, file)"
    backbone,_,file = text.partition('=')
    if not Path(file).is_file():
        raise argparse.ArgumentTypeError(f'{text}: give BACKBONE=FILE with a file of weights')
    return f'{backbone}, {Path(file).parent.name}/{Path(file).name}', backbone, file


def training_part(name, args):
    "(Samples to learn from, group of each)"
    folder,split = args.data,find_model('neu-lite0')/'split.json'
    if name!='neu': folder,split = prepare(name, args)
    manifest = read_manifest(split)
    train = apply_manifest(manifest, folder).part('train')
    groups = {(Path(e.path).name, e.label):e.group for e in manifest.images}
    return train, [groups[sample.path.name, sample.label] for sample in train]


def probe_start(backbone, weights, train, groups, size):
    "Rows of both normalisations"
    torch.manual_seed(0) # of weights that are random
    network = make_backbone(backbone, weights).to(memory_format=torch.channels_last)
    probe = RecipeProbe(network, train, groups, most=IMAGES)
    return [probe.score(kind, size).row() for kind in ('image', 'fixed')]


def main():
    parser = make_parser(__doc__)
    parser.add_argument('--data', default=NEU_FOLDER)
    parser.add_argument('--work', default='runs/recipe_search')
    parser.add_argument('--start', action='append', default=[], type=parse_start)
    args = parser.parse_args()
    torch.set_num_threads(1)
    starts = [('resnet50, random', 'resnet50', False),
              ('tf_efficientnet_lite0, ImageNet', 'tf_efficientnet_lite0', WEIGHTS), *args.start]
    results = read_json(RESULT, {'rows':[]}) | {'processor':cpu_name(), 'images':IMAGES}
    for name in ('neu', *MILLS):
        if name=='neu' and not Path(args.data).is_dir():
            print(f'neu: skipped, {args.data} is no folder')
            continue
        train,groups = training_part(name, args)
        for start,backbone,weights in starts:
            rows = probe_start(backbone, weights, train, groups, SIZES[name])
            rows = [{'data':name, 'start':start, **row} for row in rows]
            kept = [r for r in results['rows'] if (r['data'], r['start'])!=(name, start)]
            results['rows'] = [*kept, *rows]
            for row in rows: print(row, flush=True)
            write_json(RESULT, results)


if __name__=='__main__': main()

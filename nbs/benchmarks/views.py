"""What test-time views (`--views 4|8`) gain and cost.

    python nbs/benchmarks/views.py
    python nbs/benchmarks/views.py --model neu-resnet50 --views 4 --only clean

A model answers for the images that judged it, as they are (clean), each with one kind of corruption
of datasets/09_corruptions in turn (spoiled), and for one photograph of each kind (strangers, which
show no steel). All views are computed once; an answer from fewer views uses the first of them. For
each number of views: right answers, negative log-likelihood, verdicts, wrong ones that were
accepted, and how well the unknown-score tells strangers from the clean images (AUROC). Beside it
the same with the mean of the features instead of the mean of the unknown-scores, which is the
choice that uncertainty/05_confidence makes. turned: of how many images the answer is not the same
for all quarter turns, with one view. cost: processor time for the same batch, as a ratio to one
view, the views taking turns. The result goes into views.json beside this file, model by model. It
takes some nine minutes of one slow core for neu-lite0 and four for the second line."""
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from common import (
    NEU_FOLDER, PHOTOGRAPHS_FOLDER, cpu_name, json_beside, make_parser, median_and_range,
    update_json,
)
from defect_nbdev.core.images import read_image, resize_to
from defect_nbdev.core.verdicts import VERDICTS
from defect_nbdev.core.views import VIEWS
from defect_nbdev.datasets.corruptions import CORRUPTIONS, corrupt
from defect_nbdev.datasets.layouts import class_indices, read_samples
from defect_nbdev.datasets.splits import known_parts, model_manifest
from defect_nbdev.inference.torch_engine import load_torch_engine
from defect_nbdev.model import predict_batches


# The images
def spoiled(image, i, severity):
    "The image with one of the corruptions"
    names = list(CORRUPTIONS)
    return corrupt(image, names[i%len(names)], severity, i)


def strangers(folder):
    "The first photograph of each kind"
    if not Path(folder).is_dir():
        raise SystemExit(f'{folder}: no photographs here; leave strangers out with --only.')
    kinds = sorted(place for place in Path(folder).iterdir() if place.is_dir())
    return [read_image(sorted(kind.iterdir())[0]) for kind in kinds]


def make_sets(args, samples):
    "Name -> images"
    images = [sample.read() for sample in samples]
    found = {'clean':images}
    found['spoiled'] = [spoiled(image, i, args.severity) for i,image in enumerate(images)]
    if 'strangers' in args.only:
        found['strangers'] = strangers(args.photographs)
    return {name:found[name] for name in args.only if name in found}


# The answers
def apply_to_means(confidence, logits, features):
    "The other choice: one score of the mean features"
    return confidence.apply(logits.mean(1), features.mean(1))


def count_verdicts(result):
    "Share of each verdict"
    return {name:round(float((result.verdicts==name).mean()), 4) for name in VERDICTS}


def measure(result, targets):
    "Right answers, likelihood, verdicts"
    n = np.arange(len(targets))
    right = result.probs.argmax(1)==targets
    likelihood = -np.log(result.probs[n,targets]).mean()
    accepted = result.verdicts=='certain'
    return {'n':len(targets), 'right':int(right.sum()), 'nll':round(float(likelihood), 4),
            'certain_wrong':int((accepted & ~right).sum()),
            'coverage':round(float(result.sets[n,targets].mean()), 4), **count_verdicts(result)}


def measure_strangers(result, clean):
    "Verdicts, and how well the scores tell strangers from the clean images"
    truth = np.r_[np.zeros(len(clean.scores)), np.ones(len(result.scores))]
    auroc = roc_auc_score(truth, np.r_[clean.scores, result.scores])
    return {'n':len(result.scores), 'auroc':round(float(auroc), 5), **count_verdicts(result)}


def describe(apply, answers, views, targets):
    "Every set of images, answered from the first views"
    results = {name:apply(z[:,:views], f[:,:views]) for name,(z,f) in answers.items()}
    row = {name:measure(result, targets) for name,result in results.items() if name!='strangers'}
    if {'clean', 'strangers'}<={*results}:
        row['strangers'] = measure_strangers(results['strangers'], results['clean'])
    return row


def count_turned(logits):
    "Images whose answer is not the same for all quarter turns"
    labels = logits[:,:4].argmax(2)
    return int((labels!=labels[:,:1]).any(1).sum())


# The cost
def measure_cost(model, images, counts, rounds):
    "Processor time of each number of views, as a ratio to one view: [median, least, most]"
    engines = {views:load_torch_engine(model, 'cpu', views) for views in counts}
    pixels = np.stack([resize_to(image, engines[1].size) for image in images[:8]])
    ratios = {views:[] for views in counts}
    for turn in range(rounds+1): # the first is a warm-up
        seconds = {}
        for views,engine in engines.items():
            start = time.process_time()
            engine.run(pixels)
            seconds[views] = time.process_time()-start
        for views in counts:
            if turn:
                ratios[views].append(seconds[views]/seconds[1])
    return {str(views):median_and_range(values, 2) for views,values in ratios.items()}


def measure_model(args):
    "Everything about one model"
    engine = load_torch_engine(args.model, 'cpu')
    samples = known_parts(model_manifest(args.model), read_samples(args.data)).part('validation')
    targets = np.array(class_indices(samples, engine.classes))
    sets,answers,seconds = make_sets(args, samples),{},{}
    for name,images in sets.items():
        start = time.process_time()
        answers[name] = predict_batches(engine.model, engine.config.preprocess, images,
                                        views=args.views)
        seconds[name] = round(time.process_time()-start, 1)
        print(name, len(images), seconds[name], 's', flush=True)
    counts = [views for views in VIEWS if views<=args.views]
    confidence = engine.confidence
    rows = {str(views):describe(confidence.apply, answers, views, targets) for views in counts}
    def other(z, f): return apply_to_means(confidence, z, f)
    means = {str(views):describe(other, answers, views, targets) for views in counts[1:]}
    turned = {name:count_turned(z) for name,(z,_) in answers.items()}
    cost = measure_cost(args.model, sets['clean'], counts, args.rounds)
    return {'severity':args.severity, 'views':rows, 'mean_features':means, 'turned':turned,
            'cost':cost, 'seconds':seconds, 'device':cpu_name()}


def main():
    parser = make_parser(__doc__)
    parser.add_argument('--model', default='neu-lite0')
    parser.add_argument('--data', default=NEU_FOLDER)
    parser.add_argument('--photographs', default=PHOTOGRAPHS_FOLDER,
                        help='folder with a folder for each kind of thing')
    parser.add_argument('--views', type=int, default=8, help='4 or 8')
    parser.add_argument('--only', nargs='+', default=['clean', 'spoiled', 'strangers'],
                        help='sets of images; clean is one of them')
    parser.add_argument('--severity', type=int, default=3, help='of the corruptions, 1 to 5')
    parser.add_argument('--rounds', type=int, default=3, help='of the cost')
    args = parser.parse_args()
    torch.set_num_threads(1)
    found = measure_model(args)
    update_json(json_beside(__file__), **{args.model:found})
    for views,row in found['views'].items():
        print(views, row, 'cost', found['cost'][views])


if __name__ == '__main__':
    main()

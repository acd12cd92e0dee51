"""How good a recipe is on metal it has not seen: five folds, every image judged once by a network
that never met its metal.

    python nbs/benchmarks/cross_validation.py neu-lite0 --data ../shared/neu-det \\
        --imagenet imagenet

Runs the recipe of a model once for each fold, below runs/cv; `--epochs lite0=12 neu-lite0=4` gives
stages other epochs than the recipe has. Models whose recipes begin with the same stages (a teacher)
run these once for each fold. The folds deal whole groups of images that show the same metal, as the
model's own manifest has them; fold 0 is the one whose classes come closest to their share.
Each fold's network, as its last epoch left it (no epoch is chosen by the images that judge),
predicts the images it did not learn from, clean and corrupted (three copies, each by another level
of datasets/09_corruptions). Its confidence is fitted on one half of these images' metal and tried
on the other half, then the other way round, so that no image helps to judge itself. With --random
it is run once more on a random fifth (seed 0), whatever metal that shows: the number that is often
published, kept apart and called leaky. Fold after fold goes into cross_validation_NAME.json beside
this file; a run that was stopped goes on where it was."""
import json
import time
from pathlib import Path

import numpy as np
from sklearn.model_selection import GroupKFold

from common import json_beside, make_parser, read_json
from defect_nbdev.core.files import write_text
from defect_nbdev.core.images import read_image
from defect_nbdev.core.models import find_model
from defect_nbdev.datasets.layouts import class_indices, read_samples
from defect_nbdev.datasets.splits import (
    apply_manifest, deal_folds, fold_manifest, make_manifest, read_manifest, write_manifest,
)
from defect_nbdev.detection.recipes import Stage, classifier_stages, retrain
from defect_nbdev.model import embedding_widths, load_model, predict_batches
from defect_nbdev.uncertainty.confidence import fit_confidence
from defect_nbdev.uncertainty.fit import corrupted_copy, with_rotations

COPIES = 3 # corrupted copies of each image


def rounded(values, digits=5):
    return np.round(np.asarray(values, float), digits).tolist()


def copies_of(indices):
    "Places of the corrupted copies of some images"
    return (indices[:,None]*COPIES + np.arange(COPIES)).ravel()


def corrupted_copies(samples):
    for i,sample in enumerate(samples):
        for k in range(COPIES):
            yield corrupted_copy(read_image(sample.path), 10_000 + i*COPIES + k)


def softmax(logits):
    odds = np.exp(logits-logits.max(1, keepdims=True))
    return odds/odds.sum(1, keepdims=True)


def result_rows(result):
    "[probabilities, label set, unknown-score, verdict] of each image"
    columns = zip(result.probs, result.sets, result.scores, result.verdicts)
    return [[rounded(probs), ''.join('01'[int(is_in)] for is_in in label_set),
             round(float(score), 2), str(verdict)]
            for probs,label_set,score,verdict in columns]


def cross_fit(train, clean, corrupted, groups, error, widths):
    """Rows of the images and of their corrupted copies, with confidence fitted on other metal;
    each argument is (logits, embedding, targets), of the training without logits"""
    logits,embedding,targets = clean
    clean_rows,corrupted_rows = [None]*len(targets),[None]*len(corrupted[2])
    for fit,own in GroupKFold(2).split(targets, targets, groups):
        fit_copies,own_copies = copies_of(fit),copies_of(own)
        confidence = fit_confidence(
            *(part[fit] for part in clean), *train, tuple(part[fit_copies] for part in corrupted),
            error, widths=widths)
        parts = (clean_rows, own, clean), (corrupted_rows, own_copies, corrupted)
        for rows,indices,(z,f,_) in parts:
            result = confidence.apply(z[indices], f[indices])
            for i,row in zip(indices, result_rows(result)):
                rows[i] = row
    return clean_rows,corrupted_rows


def evaluate(folder, data, error):
    "A fold's network on images it never learned from, with a confidence fitted on other metal"
    model,config = load_model(folder)
    manifest = read_manifest(Path(folder)/'split.json')
    samples = apply_manifest(manifest, data)
    valid,train = samples.part('validation'),samples.part('train')
    entries = manifest.part('validation')

    def predict(images):
        return [t.numpy() for t in predict_batches(model, config.preprocess, images)]

    targets = np.array(class_indices(valid, config.classes))
    train_embedding = predict(with_rotations(train))[1]
    train_targets = np.repeat(class_indices(train, config.classes), 2)
    logits,embedding = predict(read_image(sample.path) for sample in valid)
    corrupted = (*predict(corrupted_copies(valid)), np.repeat(targets, COPIES))
    rows,corrupted_rows = cross_fit(
        (train_embedding, train_targets), (logits, embedding, targets), corrupted,
        np.array([entry.group for entry in entries]), error, embedding_widths(model, embedding))
    images = [{'path':entry.path, 'truth':int(target), 'raw':rounded(raw), 'judged':row,
               'spoiled':corrupted_rows[i*COPIES:(i+1)*COPIES]}
              for i,(entry,target,raw,row)
              in enumerate(zip(entries, targets, softmax(logits), rows))]
    return {'classes':list(config.classes), 'n':len(targets),
            'right':int((logits.argmax(1)==targets).sum()),
            'spoiled_right':int((corrupted[0].argmax(1)==corrupted[2]).sum()), 'images':images}


def run_fold(fold, name, manifest, args):
    "Run the recipe by a manifest and evaluate what comes of it"
    out = Path(args.work)/name/f'fold{fold}'
    out.mkdir(parents=True, exist_ok=True)
    start = time.time()
    write_manifest(out/'fold.json', manifest)
    # `evaluate` fits a confidence of its own, on other images
    stages = [Stage(stage['name'], {**stage['options'], 'confidence':False})
              for stage in args.stages]
    retrain(stages, args.data, out/'model', out/'fold.json', args.imagenet,
            shared=Path(args.work)/'stages'/f'fold{fold}')
    result = evaluate(out/'model'/'last', args.data, args.error)
    return {**result, 'seconds':round(time.time()-start)}


def json_text(results):
    "Compact JSON, an image a line"
    return json.dumps(results, separators=(',', ':')).replace('{"path"', '\n{"path"') + '\n'


class Results:
    "The file that all folds of a model go to; it is read again, for others may write it meanwhile"
    def __init__(self, name, error, stages):
        self.path = json_beside(__file__, f'cross_validation_{name}.json')
        self.empty = {'model':name, 'error':error, 'copies':COPIES, 'recipe':stages, 'folds':{}}
        if read_json(self.path, self.empty)['recipe']!=stages:
            raise SystemExit(f'{self.path}: holds folds of another recipe; move it away first.')

    def part(self, results, fold):
        "Where a fold stands: the random one apart"
        return results if fold=='random' else results['folds']

    def has(self, fold):
        return str(fold) in self.part(read_json(self.path, self.empty), fold)

    def add(self, fold, result):
        results = read_json(self.path, self.empty)
        self.part(results, fold)[str(fold)] = result
        write_text(self.path, json_text(results))


def manifest_of(fold, folder, args):
    if fold=='random': return make_manifest(read_samples(args.data), 'random', 0, args.data)[0]
    return fold_manifest(deal_folds(read_manifest(folder/'split.json'), args.folds), fold+1)


def recipe_stages(model, epochs):
    "The stages that teach a model its names, some with other epochs (name -> number)"
    stages = classifier_stages(model)
    if unknown := epochs.keys() - {stage['name'] for stage in stages}:
        raise SystemExit(f"{model}: its recipe has no stage {', '.join(sorted(unknown))}.")
    for stage in stages:
        if stage['name'] in epochs: stage['options']['epochs'] = epochs[stage['name']]
    return stages


def stage_epochs(word):
    "(stage's name, number of epochs) of STAGE=N"
    name,_,epochs = word.partition('=')
    return name, int(epochs)


def parse_args():
    parser = make_parser(__doc__)
    parser.add_argument('model')
    parser.add_argument('--data', required=True)
    parser.add_argument('--imagenet')
    parser.add_argument('--epochs', nargs='*', type=stage_epochs, default=[], metavar='STAGE=N',
                        help="not the recipe's")
    parser.add_argument('--folds', type=int, default=5)
    parser.add_argument('--work', default='runs/cv')
    parser.add_argument('--error', type=float, default=.02)
    parser.add_argument('--only', type=int, nargs='*', help='these folds, or none')
    parser.add_argument('--random', action='store_true')
    args = parser.parse_args()
    args.stages = recipe_stages(args.model, dict(args.epochs))
    return args


def main():
    args = parse_args()
    folder = find_model(args.model)
    name = folder.resolve().name
    results = Results(name, args.error, args.stages)
    folds = list(range(args.folds)) if args.only is None else args.only
    for fold in [*folds, *['random']*args.random]:
        if results.has(fold): continue
        result = run_fold(fold, name, manifest_of(fold, folder, args), args)
        results.add(fold, result)
        n,right,corrupted_right = (result[k] for k in ('n', 'right', 'spoiled_right'))
        print(f'fold {fold}: {right} of {n} right, {corrupted_right} of {COPIES*n} spoiled ones',
              flush=True)


if __name__=='__main__': main()

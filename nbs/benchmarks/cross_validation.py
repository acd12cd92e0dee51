"""How good a recipe is on metal it has not seen: five folds, every image judged once by a network that never met its metal.

    python nbs/benchmarks/cross_validation.py neu-lite0 --data ../shared/neu-det --imagenet lite0.pth

Runs the recipe of a model once for each fold (`recipe.json` in its folder), below runs/cv. The folds deal whole groups of images
that show the same metal, as the model's own manifest has them. Each fold's network, as its last epoch left it (no epoch is chosen by
the images that judge), answers for the images it did not learn from, clean and spoiled (three copies, each by another rung of the ladders of 00d). Its confidence is fitted on one half of these
images' metal and tried on the other half, then the other way round, so that no image helps to judge itself.
With --random it is run once more on a random fifth (seed 0), whatever metal that shows: the number that is often published, kept apart
and called leaky.
Fold after fold goes into cross_validation_NAME.json beside this file; a run that was stopped goes on where it was."""
import argparse, json, time
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.model_selection import GroupKFold

from defect_nbdev.uncertainty.fit import with_rotations, corrupted_copy
from defect_nbdev.uncertainty.confidence import fit_confidence
from defect_nbdev.core.images import read_image
from defect_nbdev.datasets.layouts import read_samples, class_indices
from defect_nbdev.core.files import write_text
from defect_nbdev.model import predict_batches, load_model, embedding_widths
from defect_nbdev.core.models import find_model
from defect_nbdev.datasets.splits import SplitManifest, apply_manifest, grouped_kfold, make_manifest, read_manifest, write_manifest
from defect_nbdev.training.recipes import read_recipe, retrain

COPIES = 3 # spoiled copies of each image
rounded = lambda a, n=5: np.round(np.asarray(a, float), n).tolist()

def fold_manifest(manifest, k, i):
    "The i-th of k grouped folds of the images of a manifest"
    fold = grouped_kfold([e.label for e in manifest.images], [e.group for e in manifest.images], k, manifest.seed)
    images = tuple(replace(e, part='validation' if f==i else 'train') for e,f in zip(manifest.images, fold))
    return SplitManifest(images, f'fold {i+1} of {k}, no metal on both sides, seed {manifest.seed}', 'grouped', manifest.seed)

def judge(folder, data, error):
    "What a fold's network says of images it never learned from, with a confidence fitted on other metal"
    model,config = load_model(folder); manifest = read_manifest(Path(folder)/'split.json'); marked = apply_manifest(manifest, data)
    valid,train = marked.part('validation'),marked.part('train'); group = np.array([e.group for e in manifest.part('validation')])
    y = np.array(class_indices(valid, config.classes)); ask = lambda images: [t.numpy() for t in predict_batches(model, config.preprocess, images)]
    _,usual = ask(with_rotations(train)); learned = np.repeat(class_indices(train, config.classes), 2); z,f = ask(read_image(s.path) for s in valid)
    z2,f2 = ask(corrupted_copy(read_image(s.path), 10_000 + i*COPIES+k) for i,s in enumerate(valid) for k in range(COPIES)); y2 = np.repeat(y, COPIES)
    rows,spoil = [None]*len(y),[None]*len(y2); raw = np.exp(z-z.max(1, keepdims=True)); raw /= raw.sum(1, keepdims=True)
    for fit,own in GroupKFold(2).split(y, y, group):
        both = lambda i: (i[:,None]*COPIES + np.arange(COPIES)).ravel()
        c = fit_confidence(z[fit], f[fit], y[fit], usual, learned, (z2[both(fit)], f2[both(fit)], y2[both(fit)]), error, widths=embedding_widths(model, f))
        for out,idx,j in (rows, own, c.apply(z[own], f[own])),(spoil, both(own), c.apply(z2[both(own)], f2[both(own)])):
            for i,p,s,n,v in zip(idx, j.probs, j.sets, j.scores, j.verdicts): out[i] = [rounded(p), ''.join('01'[int(b)] for b in s), round(float(n), 2), str(v)]
    images = [{'path':e.path, 'truth':int(t), 'raw':rounded(r), 'judged':a, 'spoiled':spoil[i*COPIES:(i+1)*COPIES]} for i,(e,t,r,a) in enumerate(zip(manifest.part('validation'), y, raw, rows))]
    return {'classes':list(config.classes), 'n':len(y), 'right':int((z.argmax(1)==y).sum()), 'spoiled_right':int((z2.argmax(1)==y2).sum()), 'images':images}

def one(folder, data, out, manifest, imagenet, error):
    "Run the recipe by a manifest and judge what comes of it"
    out.mkdir(parents=True, exist_ok=True); t = time.time(); write_manifest(out/'fold.json', manifest)
    stages = [(name, {**options, 'confidence':False}) for name,options in read_recipe(folder/'recipe.json')]     # judge fits its own, on other images
    retrain(stages, data, out/'model', out/'fold.json', imagenet)
    r = judge(out/'model'/'last', data, error); return {**r, 'seconds':round(time.time()-t)}

def main():
    p = argparse.ArgumentParser(); p.add_argument('model'); p.add_argument('--data', required=True); p.add_argument('--imagenet'); p.add_argument('--folds', type=int, default=5)
    p.add_argument('--work', default='runs/cv'); p.add_argument('--error', type=float, default=.02); p.add_argument('--only', type=int, nargs='*', help='these folds, or none'); p.add_argument('--random', action='store_true')
    o = p.parse_args(); folder = find_model(o.model); name = folder.resolve().name; path = Path(__file__).with_name(f'cross_validation_{name}.json')
    read = lambda: json.loads(path.read_text()) if path.is_file() else {'model':name, 'error':o.error, 'copies':COPIES, 'folds':{}}
    for i in [*(range(o.folds) if o.only is None else o.only), *['random']*o.random]:
        if str(i) in (read() if i=='random' else read()['folds']): continue
        manifest = make_manifest(read_samples(o.data), 'random', 0, o.data)[0] if i=='random' else fold_manifest(read_manifest(folder/'split.json'), o.folds, i)
        r = one(folder, o.data, Path(o.work)/name/f'fold{i}', manifest, o.imagenet, o.error)
        done = read(); (done if i=='random' else done['folds'])[str(i)] = r            # read again: another process may have judged another fold meanwhile
        write_text(path, json.dumps(done, separators=(',', ':')).replace('{"path"', '\n{"path"') + '\n')
        print(f"fold {i}: {r['right']} of {r['n']} right, {r['spoiled_right']} of {COPIES*r['n']} spoiled ones", flush=True)

if __name__=='__main__': main()

"""Does the quality gate (00g) warn where a model's answers spoil, and leave good images alone?

    python nbs/benchmarks/quality.py --data ../shared/neu-det --model neu-lite0

Three measurements, all on images that neither the model nor the limits learned from.
false: limits are fitted on four fifths of all images and asked about the last fifth, no metal on both sides, five times five ways, for
several shares and margins; and how often the same share and margin, fitted on the model's training part, flag the strongest rungs.
rungs: the model's validation part on every rung of 00d, coloured and shrunk too: how many are flagged and why, how many answers are
wrong, and how many of the wrong ones are flagged, of all and of those the model accepts.
classes: how many images of the validation part are flagged as they are, by class.
The result goes into quality.json beside this file. It takes ten minutes on a core of its own. --only measures some kinds of rungs again
and leaves the rest of the file as it is."""
import argparse, json
from collections import Counter
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np

from defect_nbdev.datasets.corruptions import CORRUPTIONS, NOISE_DB, corrupt, noisy
from defect_nbdev.data import decode_images
from defect_nbdev.datasets.layouts import read_samples
from defect_nbdev.core.images import resize_to
from defect_nbdev.core.files import write_text
from defect_nbdev.inference.inspector import load_inspector
from defect_nbdev.core.models import find_model
from defect_nbdev.datasets.quality import SIDE, fit_limits, flags, load_limits, measure
from defect_nbdev.datasets.splits import apply_manifest, read_manifest

OUT = Path(__file__).with_suffix('.json')
TINTS,SIDES = (1, 2, 4, 8, 16),(150, 100, 75, 50) # grey values between red and blue; pixels
CHOICES = [(s, m) for s in (0, .002, .005, .01) for m in (0, .1, .2, .3)] # shares and margins

def tinted(image, k, i):
    "Warmer by half of `k` in red, colder by the rest in blue"
    return np.clip(image.astype(int) + [(k+1)//2, 0, -(k//2)], 0, 255).astype(np.uint8)

def shrunk(image, side, i): return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)

RUNGS = {('clean',0):lambda im, i: im, **{(n,s):(lambda im, i, n=n, s=s: corrupt(im, n, s, i)) for n in CORRUPTIONS for s in range(1,6)}, **{('noise',d):(lambda im, i, d=d: noisy(im, d, i)) for d in NOISE_DB},
         **{('tint',k):(lambda im, i, k=k: tinted(im, k, i)) for k in TINTS}, **{('side',s):(lambda im, i, s=s: shrunk(im, s, i)) for s in SIDES}}

def limits_of(qualities, share, margin):
    "`fit_limits` on what was measured already"
    with patch('defect_nbdev.datasets.quality.measure', lambda q: q): return fit_limits(qualities, share, margin)

def folds(groups, seed):
    "A fifth for each image, one for each group"
    own = {g:i%5 for i,g in enumerate(np.random.default_rng(seed).permutation(np.unique(groups)))}
    return np.array([own[g] for g in groups])

def false_flags(qualities, groups, share, margin):
    "Share of held-out images that are flagged, and by which flag"
    hit,n = Counter(),0
    for seed in range(5):
        f = folds(groups, seed)
        for k in range(5):
            limits = limits_of([q for q,o in zip(qualities, f!=k) if o], share, margin)
            for q,o in zip(qualities, f==k):
                if not o: continue
                n += 1; hit.update(w := flags(q, limits)); hit['any'] += bool(w)
    return {k:round(v/n, 5) for k,v in hit.items()}

def answers(inspector, images):
    "Labels and verdicts"
    size = inspector.engine.size; names = np.array(inspector.classes)
    told = [inspector.engine.run(np.stack([resize_to(im, size) for im in images[i:i+32]])) for i in range(0, len(images), 32)]
    return names[np.concatenate([a.probabilities for a in told]).argmax(1)],np.concatenate([a.verdicts for a in told])

def rung(inspector, limits, images, labels):
    "What the gate and the model say"
    found = [flags(measure(im), limits) for im in images]; flagged = np.array([bool(f) for f in found])
    said,verdicts = answers(inspector, images); wrong,taken = said!=labels,verdicts=='accept'; n = lambda m: int(m.sum())
    return {'n':len(images), 'flagged':n(flagged), 'flags':dict(Counter(f for w in found for f in w)), 'wrong':n(wrong), 'wrong_flagged':n(wrong & flagged),
            'accepted':n(taken), 'accepted_wrong':n(taken & wrong), 'accepted_wrong_flagged':n(taken & wrong & flagged)}

def asked(out, inspector, limits, images, labels, keys):
    "Fill in the rungs and write the file"
    for k in keys:
        out['rungs'][f'{k[0]} {k[1]}'] = r = rung(inspector, limits, [RUNGS[k](im, n) for n,im in enumerate(images)], labels); print(k, r, flush=True)
    write_text(OUT, json.dumps(out, indent=1) + '\n')

def main():
    p = argparse.ArgumentParser(); p.add_argument('--data', required=True); p.add_argument('--model', default='neu-lite0')
    p.add_argument('--only', nargs='*', help='kinds of rungs, such as tint'); o = p.parse_args(); cv2.setNumThreads(1)
    folder = find_model(o.model); manifest = read_manifest(folder/'split.json'); samples,images = decode_images(apply_manifest(manifest, o.data), SIDE)
    if len(samples)!=len(manifest.images): raise SystemExit(f'{len(manifest.images)-len(samples)} images cannot be read.')
    part,labels,groups = (np.array([getattr(e, k) for e in manifest.images]) for k in ('part', 'label', 'group'))
    limits,inspector,qualities = load_limits(folder),load_inspector(o.model),[measure(im) for im in images]
    valid,train = np.flatnonzero(part=='validation'),[q for q,w in zip(qualities, part) if w=='train']
    assert limits==limits_of(train, .002, .1), 'quality.json is not of these images; run fit_quality again'
    if o.only:
        out = json.loads(OUT.read_text()); out['limits'] = limits.to_dict()
        return asked(out, inspector, limits, images[valid], labels[valid], [k for k in RUNGS if k[0] in o.only])
    strong = {k:[measure(RUNGS[k](images[i], n)) for n,i in enumerate(valid)] for k in [(c,5) for c in CORRUPTIONS] + [('noise',20)]}
    out = {'model':o.model, 'limits':limits.to_dict(), 'false':[], 'rungs':{}, 'classes':{}}
    for share,margin in CHOICES:
        l = limits_of(train, share, margin)
        out['false'].append({'share':share, 'margin':margin, 'held_out':false_flags(qualities, groups, share, margin),
                             'strongest':{f'{a} {b}':round(float(np.mean([bool(flags(q, l)) for q in v])), 4) for (a,b),v in strong.items()}})
        print(share, margin, out['false'][-1]['held_out'], flush=True)
    for c in inspector.classes:
        own = [qualities[i] for i in valid if labels[i]==c]; out['classes'][c] = {'n':len(own), 'flagged':sum(bool(flags(q, limits)) for q in own)}
    asked(out, inspector, limits, images[valid], labels[valid], RUNGS)

if __name__=='__main__': main()

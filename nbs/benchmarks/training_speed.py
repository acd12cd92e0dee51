"""Images a second of one training step, of our whole training, and of two other ways to train the
same network.

    python nbs/benchmarks/training_speed.py --data ../shared/neu-det

What is the same for all: the images (one random set, the same files), the network's trunk (timm's,
random weights: nothing is downloaded), the size, the batch, the number of workers,
cross-entropy-like losses on all parameters, an optimizer of the Adam family, and on a GPU bf16
autocast. On a CPU each uses the number format it uses by itself: ours bf16 where the processor
multiplies it, the others fp32; a row of ours in fp32 stands beside. What is not:

- ceiling: normalised tensors in memory, no augmentation; `Trainer.step`.
- whole training: images decoded once, before (time told apart); our default augmentation, in the
  workers; `Trainer.train_epoch`.
- fastai: its JPEG reader, every epoch anew; its own augmentation (turns, warp, light on whole
  batches, after the workers; elastic, CLAHE, noise and blur have no counterpart);
  `vision_learner`, its head, its AdamW.
- plain loop, torchvision: Pillow, every epoch anew; `transforms.v2` with our probabilities (turn,
  elastic, perspective for optical distortion, equalize for CLAHE, noise, blur); timm's own
  classifier, AdamW, `loss.item()` each step.
- plain loop, albumentations: Pillow, every epoch anew; our own pipeline; the same loop.

Each contender lives in a process of its own (what one does to the memory allocator must not help
another), stays there with its network, and is asked for a few steps in turn, round after round:
whatever else the machine does falls on all of them, and each line says how many cores it kept busy
meanwhile (two threads that spin on two cores of which one is taken are far slower than half, so a
round with more than a tenth of a core is no measurement; where the machine cannot be had alone,
OMP_WAIT_POLICY=passive before the command makes the threads of all contenders sleep instead, and
the ratios are worth reading). The first steps of each turn are not counted: they use up what the
workers prepared while others had their turn. Ratios are formed within a round; the table shows the
median over the rounds, and the extremes."""
import argparse
import json
import os
import platform
import random
import subprocess
import sys
import time
import warnings
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import NamedTuple

os.environ.setdefault('HF_HUB_OFFLINE', '1')
HERE = Path(__file__).resolve()
sys.path.insert(0, str(HERE.parents[2])) # the checkout, if the package is not installed

import psutil # comes with accelerate
from common import (
    NEU_FOLDER, cpu_name, json_beside, make_parser, package_versions, write_json,
)

WARM = 3 # steps of each turn that are not counted: two prefetched batches, and one that starts cold
PEERS = 'fastai','torchvision','albumentations'
CASES = {
    'ceiling':'our step alone, tensors in memory (the ceiling)',
    'whole':'our whole training',
    'whole32':'our whole training in fp32',
    'fastai':'fastai vision_learner',
    'torchvision':'plain loop, torchvision transforms',
    'albumentations':'plain loop, our albumentations pipeline',
    'other':'step in the other number format',
    'contiguous':'step without channels_last',
    'malloc':'step with memory given back after each use',
    'compile':'step with torch.compile',
    'patient':'step with OMP_WAIT_POLICY=passive'}


# The contenders, each in its own process. A role is a function of the options that gives
# {case: a turn, a function that gives (seconds, steps)}, and facts about itself.
# slow: torch, accelerate, fastai and torchvision are imported by the processes that need them.
def choose_images(args):
    "The same files for everybody: as many as a turn has steps"
    from defect_nbdev.datasets.layouts import read_samples # slow
    samples = read_samples(args.data)
    needed = (args.steps+WARM)*args.batch
    order = random.Random(0).sample(range(len(samples)), len(samples))
    return replace(samples, samples=tuple(samples[order[i%len(samples)]] for i in range(needed)))


class Clock:
    "Seconds of the counted steps of a turn"
    def __init__(self, cuda, warm=WARM):
        self.cuda,self.warm,self.n = cuda,warm,0

    def now(self):
        if self.cuda:
            import torch # slow
            torch.cuda.synchronize()
        return time.perf_counter()

    def tick(self, *_):
        self.n += 1
        if self.n==self.warm:
            self.start = self.now()

    def seconds(self):
        return self.now()-self.start


class OurTraining:
    "Turns of the ceiling, its variants and the whole training: one network, one Trainer"
    def __init__(self, args):
        from accelerate.utils import set_seed # slow
        from defect_nbdev.data import Preprocess, decode_images # slow
        from defect_nbdev.datasets.layouts import class_indices # slow
        from defect_nbdev.train import make_accelerator # slow
        self.args = args
        samples,self.preprocess = choose_images(args),Preprocess(size=args.size)
        start = time.perf_counter()
        kept,self.images = decode_images(samples, args.size)
        self.decode_ms = (time.perf_counter()-start)/len(samples)*1e3
        self.targets = class_indices(kept, kept.classes)
        set_seed(0)
        self.accelerator = make_accelerator(cpu=args.cpu)
        self.cuda = self.accelerator.device.type=='cuda'
        self.trainer = self.make_trainer(len(kept.classes))
        self.batches = self.load_batches(4)
        self.compiled = None

    def make_trainer(self, n_classes):
        from defect_nbdev.data import SteelDataset, eval_transform, make_loader # slow
        from defect_nbdev.model import ScratchDetector # slow
        from defect_nbdev.train import TrainConfig, Trainer, native_precision # slow
        n,device = self.args.batch,self.accelerator.device.type
        loader = make_loader(self.dataset(), n, True, self.args.workers)
        valid = SteelDataset(self.images[:n], self.targets[:n], eval_transform(self.preprocess))
        model = ScratchDetector(self.args.backbone, n_classes, pretrained=False)
        config = TrainConfig(epochs=10**4, precision=native_precision(device))
        return Trainer(model, loader, make_loader(valid, n), config, accelerator=self.accelerator)

    def dataset(self):
        from defect_nbdev.data import SteelDataset, train_transform # slow
        return SteelDataset(self.images, self.targets, train_transform(self.preprocess))

    def load_batches(self, n):
        "The first batches, on the device"
        from defect_nbdev.data import make_loader # slow
        device = self.accelerator.device
        loader = make_loader(self.dataset(), self.args.batch, True)
        return [(x.clone().to(device), y.clone().to(device)) for (x,y),_ in zip(loader, range(n))]

    def run_steps(self, n, warm=1):
        "Steps alone"
        clock = Clock(self.cuda, warm)
        self.trainer.begin_epoch()
        for i in range(n+warm):
            self.trainer.step(*self.batches[i%len(self.batches)])
            clock.tick()
        return clock.seconds(), n

    def ceiling(self):
        return self.run_steps(self.args.steps)

    def few_steps(self):
        return self.run_steps(max(2, self.args.steps//2))

    def whole(self):
        "An epoch as it is trained"
        from tqdm.auto import tqdm # slow
        trainer,clock = self.trainer,Clock(self.cuda)
        trainer.progress.update(batch=0, loss=0., right=0, n=0)
        with open(os.devnull, 'w') as null:
            with tqdm(total=self.args.steps, mininterval=1, file=null) as bar:
                trainer.train_epoch(bar, clock.tick)
        trainer.progress['epoch'] += 1
        return clock.seconds(), self.args.steps

    @contextmanager
    def with_precision(self, precision):
        own = self.trainer.config
        self.trainer.config = replace(own, precision=precision)
        try:
            yield
        finally:
            self.trainer.config = own

    def whole_in_fp32(self):
        with self.with_precision('fp32'): return self.whole()

    def other_precision(self):
        is_bf16 = self.trainer.config.precision=='bf16'
        with self.with_precision('fp32' if is_bf16 else 'bf16'): return self.few_steps()

    def contiguous(self):
        import torch # slow
        trainer = self.trainer
        compute_loss = trainer.compute_loss
        trainer.model.to(memory_format=torch.contiguous_format)
        trainer.compute_loss = lambda x, targets: compute_loss(x.contiguous(), targets)
        try:
            return self.few_steps()
        finally:
            del trainer.compute_loss
            trainer.model.to(memory_format=torch.channels_last)

    def with_compile(self):
        import torch # slow
        model = self.trainer.model
        if self.compiled is None:
            self.compiled = torch.compile(model)
        self.trainer.model = self.compiled
        try:
            return self.few_steps()
        finally:
            self.trainer.model = model

    def facts(self):
        import torch # slow
        device = torch.cuda.get_device_name() if self.cuda else 'CPU'
        return {'device':device, 'precision':self.trainer.config.precision,
                'decode_ms_per_image':round(self.decode_ms, 2), 'threads':torch.get_num_threads()}


def start_ours(args):
    own = OurTraining(args)
    return {'ceiling':own.ceiling, 'whole':own.whole, 'whole32':own.whole_in_fp32,
            'other':own.other_precision, 'contiguous':own.contiguous,
            'compile':own.with_compile}, own.facts()


def fastai_data(args, device):
    "fastai's loaders, set up as its documentation does"
    from fastai.vision.all import ( # slow, optional: only compared with
        ImageDataLoaders, Normalize, Resize, ResizeMethod, aug_transforms, imagenet_stats,
    )
    samples = choose_images(args)
    label_of = {str(sample.path):sample.label for sample in samples}
    paths = [sample.path for sample in samples]
    augment = aug_transforms(do_flip=False, max_rotate=180, p_affine=.8, max_zoom=1., max_warp=.2,
                             max_lighting=.2, p_lighting=.3)
    return ImageDataLoaders.from_path_func(
        '.', paths+paths[:args.batch], lambda path: label_of[str(path)], valid_pct=0, seed=0,
        bs=args.batch, num_workers=args.workers, device=device,
        item_tfms=Resize(args.size, method=ResizeMethod.Squish),
        batch_tfms=[*augment, Normalize.from_stats(*imagenet_stats)])


def make_fastai_timer(cuda, steps):
    "A callback that times a turn and leaves the validation out"
    from fastai.callback.core import Callback, CancelValidException # slow, optional

    class Timer(Callback):
        def before_validate(self): raise CancelValidException

        def before_fit(self):
            self.clock = Clock(cuda)

        def after_batch(self):
            if not self.training or self.clock.n>=steps+WARM: return
            self.clock.tick()
            if self.clock.n==steps+WARM:
                self.seconds = self.clock.seconds()

    return Timer()


def start_fastai(args):
    "Turns of fastai's learner"
    warnings.filterwarnings('ignore')
    import torch # slow
    from fastai.vision.all import CrossEntropyLossFlat, accuracy, vision_learner # slow, optional
    cuda = torch.cuda.is_available() and not args.cpu
    loaders = fastai_data(args, torch.device('cuda' if cuda else 'cpu'))
    learner = vision_learner(loaders, args.backbone, pretrained=False,
                             loss_func=CrossEntropyLossFlat(), metrics=accuracy)
    if cuda and hasattr(learner, 'to_bf16'):
        learner.to_bf16()
    elif cuda:
        learner.to_fp16()
    timer = make_fastai_timer(cuda, args.steps)
    learner.add_cb(timer)

    def turn():
        with learner.no_bar(), learner.no_logging():
            learner.fit_one_cycle(1, 3e-4)
        return timer.seconds, args.steps

    return {'fastai':turn}, {}


def torchvision_transform(size, preprocess, augment):
    "Our augmentation in torchvision's transforms"
    import torch # slow
    from torchvision.transforms import v2 # slow
    def sometimes(transform, p): return v2.RandomApply([transform], p=p)
    rotate = v2.RandomRotation(augment.rotate, v2.InterpolationMode.BILINEAR)
    elastic = v2.ElasticTransform(augment.elastic_alpha*size*.3, size*.04)
    return v2.Compose([
        v2.ToImage(), v2.Resize((size,size), antialias=True),
        sometimes(rotate, augment.rotate_p), sometimes(elastic, augment.geometry_p),
        v2.RandomPerspective(augment.distort, p=augment.geometry_p),
        v2.RandomEqualize(augment.clahe_p),
        sometimes(v2.GaussianBlur(3, (.3, 1.)), augment.blur_p),
        v2.ToDtype(torch.float32, scale=True),
        sometimes(v2.GaussianNoise(sigma=augment.noise/2), augment.noise_p),
        v2.Normalize(preprocess.mean, preprocess.std)])


class FileDataset:
    "Files that are read anew each time"
    def __init__(self, samples, targets, transform):
        self.samples,self.targets,self.transform = samples,targets,transform

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, i):
        from PIL import Image # slow
        image = Image.open(self.samples[i].path).convert('RGB')
        return self.transform(image), self.targets[i]


class PlainLoop:
    "A loop as one writes it"
    def __init__(self, backbone, n_classes, device):
        import timm # slow
        import torch # slow
        self.device = device
        model = timm.create_model(backbone, pretrained=False, num_classes=n_classes)
        self.model = model.to(device).train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=3e-4, weight_decay=.05)
        self.loss = torch.nn.CrossEntropyLoss()

    def run(self, loader, steps):
        "An epoch"
        import torch # slow
        device,cuda = self.device,self.device.type=='cuda'
        clock,total = Clock(cuda),0.
        for x,y in loader:
            x,y = x.to(device, non_blocking=True),y.to(device, non_blocking=True)
            with torch.autocast(device.type, torch.bfloat16, enabled=cuda):
                loss = self.loss(self.model(x), y)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            total += loss.item()
            clock.tick()
        return clock.seconds(), steps


def start_plain(args):
    "Turns of a plain loop, with torchvision's transforms or with ours"
    import numpy as np # slow
    import torch # slow
    from defect_nbdev.data import Augment, Preprocess, train_transform # slow
    from defect_nbdev.datasets.layouts import class_indices # slow
    samples,preprocess = choose_images(args),Preprocess(size=args.size)
    targets,ours = class_indices(samples, samples.classes),train_transform(preprocess)
    cuda = torch.cuda.is_available() and not args.cpu
    transforms = {
        'torchvision':torchvision_transform(args.size, preprocess, Augment()),
        'albumentations':lambda image: ours(image=np.asarray(image))['image']}
    torch.manual_seed(0)
    loop = PlainLoop(args.backbone, len(samples.classes), torch.device('cuda' if cuda else 'cpu'))

    def make_turn(transform):
        loader = torch.utils.data.DataLoader(
            FileDataset(samples, targets, transform), args.batch, shuffle=True,
            num_workers=args.workers, persistent_workers=args.workers>0, pin_memory=cuda,
            drop_last=True)
        return lambda: loop.run(loader, args.steps)

    return {name:make_turn(transform) for name,transform in transforms.items()}, {}


def start_malloc(args):
    "The ceiling once more, with the allocator as it comes"
    import defect_nbdev.train as train # slow
    train.reuse_memory = lambda: False
    return {'malloc':OurTraining(args).ceiling}, {}


def start_patient(args):
    "The ceiling once more, in a process whose threads sleep while they wait for each other"
    return {'patient':OurTraining(args).ceiling}, {}


ROLES = {'ours':start_ours, 'fastai':start_fastai, 'plain':start_plain, 'malloc':start_malloc,
         'patient':start_patient}


def serve(role, args):
    "Answer one line per turn; whatever a library prints goes to stderr"
    out,sys.stdout = sys.stdout,sys.stderr
    def reply(answer): print(json.dumps(answer), file=out, flush=True)
    turns,facts = ROLES[role](args)
    reply({'cases':list(turns), **facts})
    for line in sys.stdin:
        start = time.perf_counter()
        try:
            seconds,steps = turns[line.strip()]()
        except Exception as e:
            why = str(e).splitlines()[0] if str(e) else ''
            reply({'error':f'{type(e).__name__}: {why}'[:200]})
            continue
        reply({'rate':steps*args.batch/seconds, 'turn':time.perf_counter()-start})


# The race
def busy_seconds():
    "Processor time the whole machine has spent, all cores together"
    times = psutil.cpu_times()
    return sum(getattr(times, name, 0.) for name in ('user', 'system', 'nice', 'softirq'))


def process_seconds(process):
    "Processor time of a process, 0 for one that has ended"
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.
    return times.user+times.system


class Contender:
    "A process that is asked for turns"
    def __init__(self, role, argv, log):
        env = {**os.environ, 'OMP_WAIT_POLICY':'passive'} if role=='patient' else None
        self.role = role
        self.process = subprocess.Popen(
            [sys.executable, str(HERE), '--role', role, *argv], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=log, text=True, env=env)
        self.facts = self.read_answer()

    def read_answer(self):
        line = self.process.stdout.readline()
        return json.loads(line) if line else {'error':'the process ended', 'cases':[]}

    def turn(self, case):
        "The answer to a request for a turn, and how many cores others kept busy meanwhile"
        start,busy,own = time.perf_counter(),busy_seconds(),self.own_seconds()
        try:
            print(case, file=self.process.stdin, flush=True)
        except BrokenPipeError:
            pass
        answer = self.read_answer()
        own = max(0., self.own_seconds()-own)
        others = max(0., busy_seconds()-busy-own)/(time.perf_counter()-start)
        return {**answer, 'others':round(others, 2)}

    def own_seconds(self):
        "Processor time of the process and of its workers"
        try:
            process = psutil.Process(self.process.pid)
            return sum(map(process_seconds, (process, *process.children(recursive=True))))
        except psutil.NoSuchProcess:
            return 0.

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Race(NamedTuple):
    "What was measured"
    rates:dict # case -> images a second of each round, None for a failure
    others:dict # case -> cores that others kept busy in each round
    notes:dict # errors, and how long torch.compile took
    facts:dict # about the machine, as our process has them


def start_contenders(argv, log, contenders):
    "Start all, adding each to a list at once, so that it can be closed whatever happens"
    for role in ROLES:
        contender = Contender(role, argv, log)
        contenders.append(contender)
        cases = ', '.join(contender.facts['cases'])
        print(f"{role}: {contender.facts.get('error') or cases}", flush=True)


def run_rounds(owners, n_rounds, race):
    "Turns of all cases; nobody is always first"
    cases = list(race.rates)
    for r in range(n_rounds):
        first = r%len(cases)
        for case in cases[first:]+cases[:first]:
            answer = owners[case].turn(case)
            race.rates[case].append(answer.get('rate'))
            race.others[case].append(answer['others'])
            text = f"{answer['rate']:.1f}" if 'rate' in answer else answer['error']
            if 'error' in answer:
                race.notes[case] = answer['error']
            print(f'round {r+1}/{n_rounds}  {CASES[case]}: {text} '
                  f"(others: {answer['others']:.2f} cores)", flush=True)


def run_race(args, argv):
    "Let all contenders take turns"
    contenders = []
    with open(args.log or os.devnull, 'w') as log:
        try:
            start_contenders(argv, log, contenders)
            owners = {case:contender for contender in contenders
                      for case in contender.facts['cases']
                      if case!='compile' or not args.no_compile}
            cases = [case for case in CASES if case in owners]
            race = Race({case:[] for case in cases}, {case:[] for case in cases}, {},
                        next(c.facts for c in contenders if c.role=='ours'))
            if 'compile' in owners:
                seconds = owners['compile'].turn('compile').get('turn', float('nan'))
                race.notes['compile_s'] = round(seconds, 1)
                print(f'torch.compile and the first steps: {seconds:.1f} s', flush=True)
            run_rounds(owners, args.rounds, race)
        finally:
            for contender in contenders:
                contender.close()
    return race


def summarise(rates, base='ceiling'):
    "Median and extremes of images a second, and of the ratio to the ceiling of the same round"
    rows = {}
    for case,own in rates.items():
        known = [rate for rate in own if rate]
        if not known: continue
        row = {'what':CASES[case], 'images_per_s':round(median(known), 2),
               'lowest':round(min(known), 2), 'highest':round(max(known), 2)}
        shares = [rate/ceiling for rate,ceiling in zip(own, rates[base]) if rate and ceiling]
        if shares:
            row |= {'of_ceiling':round(median(shares), 3),
                    'of_ceiling_lowest':round(min(shares), 3),
                    'of_ceiling_highest':round(max(shares), 3)}
        rows[case] = {**row, 'rounds':len(known)}
    return rows


def print_table(rows):
    print(f"\n{'':52}{'images/s':>9}{'from':>8}{'to':>8}{'of the ceiling':>16}")
    for row in rows.values():
        share = row.get('of_ceiling', float('nan'))
        least,most = row.get('of_ceiling_lowest', 0),row.get('of_ceiling_highest', 0)
        print(f"{row['what']:52}{row['images_per_s']:9.1f}{row['lowest']:8.1f}"
              f"{row['highest']:8.1f}{share:9.1%} ({least:.0%}–{most:.0%})")


def compare_with_peers(rates, ours, rows):
    "peer -> median ratio of a training of ours to it, over the rounds that both have"
    ratios = {}
    for peer in PEERS:
        if peer not in rows: continue
        pairs = zip(rates[ours], rates[peer])
        ratios[peer] = round(median(own/other for own,other in pairs if own and other), 2)
    return ratios


def load_average():
    return os.getloadavg() if hasattr(os, 'getloadavg') else None


def describe_command(args):
    options = ''.join(f' --{name} {getattr(args, name)}' for name in
                      ('backbone', 'size', 'batch', 'steps', 'rounds', 'workers'))
    flags = ' --cpu'*args.cpu + ' --no-compile'*args.no_compile
    return f'python nbs/benchmarks/training_speed.py --data ../shared/neu-det{options}{flags}'


def describe_machine(facts, before):
    facts = {name:value for name,value in facts.items() if name!='cases'}
    return {'cores':os.cpu_count(), 'cpu':cpu_name(), 'system':platform.system(),
            'omp_wait_policy':os.environ.get('OMP_WAIT_POLICY', 'default'), **facts,
            'load_average_before':before, 'load_average_after':load_average()}


def describe_versions():
    found = package_versions('torch', 'torchvision', 'timm', 'albumentations', 'accelerate',
                             'fastai', 'fastcore')
    return {'python':platform.python_version(), **{k:v for k,v in found.items() if v}}


def measure(args, argv):
    "The race and its result, ready for JSON"
    before = load_average()
    race = run_race(args, argv)
    rows = summarise(race.rates)
    print_table(rows)
    over,over32 = (compare_with_peers(race.rates, ours, rows) for ours in ('whole', 'whole32'))
    text = ', '.join(f'{CASES[k]}: {v:.2f}× ({over32[k]:.2f}×)' for k,v in over.items())
    print(f'whole training (and in fp32) against {text}')
    print(f'load average before {before}, after {load_average()}')
    return {
        'command':describe_command(args), 'machine':describe_machine(race.facts, before),
        'versions':describe_versions(),
        'settings':{name:getattr(args, name) for name in
                    ('backbone', 'size', 'batch', 'steps', 'rounds', 'workers')},
        'rows':rows, 'whole_over_peer':over, 'whole32_over_peer':over32,
        'best_peer':max(over, key=lambda peer: rows[peer]['images_per_s'], default=None),
        'notes':race.notes,
        'rates':{case:[rate and round(rate, 2) for rate in own]
                 for case,own in race.rates.items()},
        'others_cores':race.others}


def parse_args():
    parser = make_parser(__doc__)
    workers = min(8, max(1, (os.cpu_count() or 1)-1))
    parser.add_argument('--data', default=NEU_FOLDER,
                        help='folder with images, as for defect_train')
    parser.add_argument('--backbone', default='resnet50', help='a timm model')
    parser.add_argument('--size', type=int, default=128, help='side of the images, pixels')
    parser.add_argument('--batch', type=int, default=32, help='images a step')
    parser.add_argument('--steps', type=int, default=8, help='counted steps of a turn')
    parser.add_argument('--rounds', type=int, default=3, help='turns of each')
    parser.add_argument('--workers', type=int, default=workers,
                        help='processes that prepare batches, for everybody')
    parser.add_argument('--cpu', action='store_true', help='use the CPU even where there is a GPU')
    parser.add_argument('--no-compile', action='store_true',
                        help='leave torch.compile out, which takes a minute to compile')
    parser.add_argument('--out', default=json_beside(__file__), help='where the numbers go')
    parser.add_argument('--log', help='a file for what the contenders print')
    parser.add_argument('--role', choices=list(ROLES), help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    args = parse_args()
    if args.role:
        serve(args.role, args)
        return
    argv = []
    for name in ('data', 'backbone', 'size', 'batch', 'steps', 'workers'):
        argv += [f'--{name}', str(getattr(args, name))]
    argv += ['--cpu']*args.cpu
    write_json(args.out, measure(args, argv), indent=2)


if __name__=='__main__': main()

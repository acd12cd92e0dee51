"""Images a second of one training step, of our whole training, and of two other ways to train the same network.

    python nbs/benchmarks/training_speed.py --data ../shared/neu-det

What is the same for all: the images (one random set, the same files), the network's trunk (timm's, random weights: nothing is downloaded), the
size, the batch, the number of workers, cross-entropy-like losses on all parameters, an optimizer of the Adam family, and on a GPU bf16 autocast.
On a CPU each uses the number format it uses by itself: ours bf16 where the processor multiplies it, the others fp32; a row of ours in fp32 stands beside. What is not:

| row | images | augmentation | head and step |
|---|---|---|---|
| ceiling | normalised tensors in memory | none | ours: `Trainer.step` |
| whole training | decoded once, before (time told apart) | our default, in the workers | ours: `Trainer.train_epoch` |
| fastai | its JPEG reader, every epoch anew | its own: turns, warp, light on whole batches, after the workers; elastic, CLAHE, noise and blur have no counterpart | `vision_learner`, its head, its AdamW |
| plain loop, torchvision | Pillow, every epoch anew | `transforms.v2` with our probabilities: turn, elastic, perspective for optical distortion, equalize for CLAHE, noise, blur | timm's own classifier, AdamW, `loss.item()` each step |
| plain loop, albumentations | Pillow, every epoch anew | our own pipeline | the same loop |

Each contender lives in a process of its own (what one does to the memory allocator must not help another), stays there with its network, and is asked
for a few steps in turn, round after round: whatever else the machine does falls on all of them, and each line says how many cores it kept busy meanwhile
(two threads that spin on two cores of which one is taken are far slower than half, so a round with more than a tenth of a core is no measurement; where the
machine cannot be had alone, OMP_WAIT_POLICY=passive before the command makes the threads of all contenders sleep instead, and the ratios are worth reading). The first steps of each turn are not counted: they use up
what the workers prepared while others had their turn. Ratios are formed within a round; the table shows the median over the rounds, and the extremes.
"""
import argparse, json, os, platform, random, subprocess, sys, time
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

import psutil  # comes with accelerate

os.environ.setdefault('HF_HUB_OFFLINE', '1')
HERE = Path(__file__).resolve()
sys.path.insert(0, str(HERE.parents[2]))
WARM = 3  # steps of each turn that are not counted: two prefetched batches for each worker of a few, and one that starts cold
VARIANTS = {'other':'step in the other number format', 'contiguous':'step without channels_last', 'malloc':'step with memory given back after each use', 'compile':'step with torch.compile',
            'patient':'step with OMP_WAIT_POLICY=passive'}
CASES = {'ceiling':'our step alone, tensors in memory (the ceiling)', 'whole':'our whole training', 'whole32':'our whole training in fp32', 'fastai':'fastai vision_learner',
         'torchvision':'plain loop, torchvision transforms', 'albumentations':'plain loop, our albumentations pipeline', **VARIANTS}

# ------------------------------------------------------------------ the contenders, each in its own process

def picked(o):
    "The same files for everybody: as many as a turn has steps"
    from defect_nbdev.datasets.layouts import read_samples
    s = read_samples(o.data); need = (o.steps+WARM)*o.batch; order = random.Random(0).sample(range(len(s)), len(s))
    return replace(s, samples=tuple(s[order[i%len(s)]] for i in range(need)))

class Clock:
    "Seconds of the counted steps of a turn"
    def __init__(self, cuda, warm=WARM): self.cuda,self.warm,self.n = cuda,warm,0
    def now(self):
        if self.cuda: import torch; torch.cuda.synchronize()
        return time.perf_counter()
    def tick(self, *_):
        self.n += 1
        if self.n==self.warm: self.t0 = self.now()
    def seconds(self): return self.now()-self.t0

def ours(o, reuse=True):
    "Turns of the ceiling, its variants and the whole training: one network, one Trainer"
    import torch
    from accelerate.utils import set_seed
    from tqdm.auto import tqdm
    from defect_nbdev.data import Preprocess, SteelDataset, decode_images, eval_transform, make_loader, train_transform
    from defect_nbdev.datasets.layouts import class_indices
    from defect_nbdev.model import ScratchDetector
    import defect_nbdev.train as train
    from defect_nbdev.train import TrainConfig, Trainer, make_accelerator, native_precision
    if not reuse: train.reuse_memory = lambda: False
    s = picked(o); pre = Preprocess(size=o.size); t = time.perf_counter()
    kept,images = decode_images(s, o.size); decoding = (time.perf_counter()-t)/len(s)
    y = class_indices(kept, kept.classes); set_seed(0); acc = make_accelerator(cpu=o.cpu)
    loader = make_loader(SteelDataset(images, y, train_transform(pre)), o.batch, True, o.workers)
    valid = make_loader(SteelDataset(images[:o.batch], y[:o.batch], eval_transform(pre)), o.batch)
    trainer = Trainer(ScratchDetector(o.backbone, len(kept.classes), pretrained=False), loader, valid, TrainConfig(epochs=10**4, precision=native_precision(acc.device.type)), accelerator=acc)
    memory = [(x.clone().to(acc.device), t.clone().to(acc.device)) for (x,t),_ in zip(make_loader(SteelDataset(images, y, train_transform(pre)), o.batch, True), range(4))]
    model,loss_of = trainer.model,trainer.compute_loss

    def steps(n, warm=1):
        clock = Clock(acc.device.type=='cuda', warm); trainer.begin_epoch()
        for i in range(n+warm): trainer.step(*memory[i%len(memory)]); clock.tick()
        return clock.seconds(), n
    def whole():
        trainer.progress.update(batch=0, loss=0., right=0, n=0); clock = Clock(acc.device.type=='cuda')
        with tqdm(total=o.steps, mininterval=1, file=open(os.devnull, 'w')) as bar: trainer.train_epoch(bar, clock.tick)
        trainer.progress['epoch'] += 1
        return clock.seconds(), o.steps
    few = max(2, o.steps//2)
    own = trainer.config
    def other(precision='fp32' if own.precision=='bf16' else 'bf16', do=lambda: steps(few)):
        trainer.config = replace(own, precision=precision)
        try: return do()
        finally: trainer.config = own
    def contiguous():
        lay = lambda f: trainer.model.to(memory_format=f)
        lay(torch.contiguous_format); trainer.compute_loss = lambda x,y: loss_of(x.contiguous(), y)
        try: return steps(few)
        finally: del trainer.compute_loss; lay(torch.channels_last)
    compiled = []
    def compile_():
        if not compiled: compiled.append(torch.compile(model))
        trainer.model = compiled[0]
        try: return steps(few)
        finally: trainer.model = model
    device = torch.cuda.get_device_name() if acc.device.type=='cuda' else 'CPU'
    about = {'device':device, 'precision':own.precision, 'decode_ms_per_image':round(decoding*1e3, 2), 'threads':torch.get_num_threads()}
    return {'ceiling':lambda: steps(o.steps), 'whole':whole, 'whole32':lambda: other('fp32', whole), 'other':other, 'contiguous':contiguous, 'compile':compile_}, about

def fastai(o):
    "Turns of fastai's learner, set up as its documentation does"
    import torch, warnings; warnings.filterwarnings('ignore')
    from fastai.callback.core import Callback, CancelValidException
    from fastai.vision.all import CrossEntropyLossFlat, ImageDataLoaders, Normalize, Resize, ResizeMethod, accuracy, aug_transforms, imagenet_stats, vision_learner
    s = picked(o); cuda = torch.cuda.is_available() and not o.cpu; label = {str(x.path):x.label for x in s}
    dls = ImageDataLoaders.from_path_func('.', [x.path for x in s]+[x.path for x in s[:o.batch]], lambda p: label[str(p)], valid_pct=0, seed=0, bs=o.batch, num_workers=o.workers,
        item_tfms=Resize(o.size, method=ResizeMethod.Squish), device=torch.device('cuda' if cuda else 'cpu'),
        batch_tfms=[*aug_transforms(do_flip=False, max_rotate=180, p_affine=.8, max_zoom=1., max_warp=.2, max_lighting=.2, p_lighting=.3), Normalize.from_stats(*imagenet_stats)])
    learn = vision_learner(dls, o.backbone, pretrained=False, loss_func=CrossEntropyLossFlat(), metrics=accuracy)
    if cuda: learn.to_bf16() if hasattr(learn, 'to_bf16') else learn.to_fp16()
    class Timed(Callback):
        def before_validate(self): raise CancelValidException
        def before_fit(self): self.clock = Clock(cuda)
        def after_batch(self):
            if self.training and self.clock.n<o.steps+WARM:
                self.clock.tick()
                if self.clock.n==o.steps+WARM: self.done = self.clock.seconds()
    timed = Timed(); learn.add_cb(timed)
    def turn():
        with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(1, 3e-4)
        return timed.done, o.steps
    return {'fastai':turn}, {}

def plain(o):
    "Turns of a loop as one writes it, with torchvision's transforms or with ours"
    import numpy as np, timm, torch
    from PIL import Image
    from torchvision.transforms import v2
    from defect_nbdev.data import Augment, Preprocess, train_transform
    from defect_nbdev.datasets.layouts import class_indices
    s = picked(o); y = class_indices(s, s.classes); pre,a = Preprocess(size=o.size),Augment(); device = torch.device('cuda' if torch.cuda.is_available() and not o.cpu else 'cpu')
    sometimes = lambda t,p: v2.RandomApply([t], p=p)
    vision = v2.Compose([v2.ToImage(), v2.Resize((o.size,o.size), antialias=True), sometimes(v2.RandomRotation(a.rotate, v2.InterpolationMode.BILINEAR), a.rotate_p),
        sometimes(v2.ElasticTransform(a.elastic_alpha*o.size*.3, o.size*.04), a.geometry_p), v2.RandomPerspective(a.distort, p=a.geometry_p), v2.RandomEqualize(a.clahe_p),
        sometimes(v2.GaussianBlur(3, (.3, 1.)), a.blur_p), v2.ToDtype(torch.float32, scale=True), sometimes(v2.GaussianNoise(sigma=a.noise/2), a.noise_p), v2.Normalize(pre.mean, pre.std)])
    ours = train_transform(pre)
    class Files(torch.utils.data.Dataset):
        def __init__(self, transform): self.transform = transform
        def __len__(self): return len(s)
        def __getitem__(self, i): return self.transform(Image.open(s[i].path).convert('RGB')), y[i]
    def apply_ours(im): return ours(image=np.asarray(im))['image']
    torch.manual_seed(0)
    model = timm.create_model(o.backbone, pretrained=False, num_classes=len(s.classes)).to(device).train()
    optimizer,loss_of = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=.05),torch.nn.CrossEntropyLoss()
    def turn(loader):
        clock,total = Clock(device.type=='cuda'),0.
        for i,(x,t) in enumerate(loader):
            x,t = x.to(device, non_blocking=True),t.to(device, non_blocking=True)
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type=='cuda'): loss = loss_of(model(x), t)
            optimizer.zero_grad(); loss.backward(); optimizer.step(); total += loss.item(); clock.tick()
        return clock.seconds(), o.steps
    loaders = {k:torch.utils.data.DataLoader(Files(f), o.batch, shuffle=True, num_workers=o.workers, persistent_workers=o.workers>0, pin_memory=device.type=='cuda', drop_last=True)
               for k,f in (('torchvision', vision), ('albumentations', apply_ours))}
    return {k:lambda l=l: turn(l) for k,l in loaders.items()}, {}

def patient(o):
    "The ceiling once more; the race starts this process with threads that sleep while they wait for each other"
    cases,_ = ours(o)
    return {'patient':cases['ceiling']}, {}

def malloc(o):
    "The ceiling once more, with the allocator as it comes"
    cases,_ = ours(o, reuse=False)
    return {'malloc':cases['ceiling']}, {}

ROLES = {'ours':ours, 'fastai':fastai, 'plain':plain, 'malloc':malloc, 'patient':patient}

def serve(role, o):
    "Answer one line per turn; whatever a library prints goes to stderr"
    out,sys.stdout = sys.stdout,sys.stderr
    tell = lambda d: print(json.dumps(d), file=out, flush=True)
    cases,about = ROLES[role](o); tell({'cases':list(cases), **about})
    for line in sys.stdin:
        try: t = time.perf_counter(); seconds,steps = cases[line.strip()](); tell({'rate':steps*o.batch/seconds, 'turn':time.perf_counter()-t})
        except Exception as e: tell({'error':f'{type(e).__name__}: {str(e).splitlines()[0] if str(e) else ""}'[:200]})

# ------------------------------------------------------------------ the race

def busy_seconds():
    "Processor time the whole machine has spent, all cores together"
    c = psutil.cpu_times(); return c.user+c.system+getattr(c, 'nice', 0.)+getattr(c, 'softirq', 0.)

class Contender:
    "A process that is asked for turns"
    def __init__(self, role, argv, log):
        env = {**os.environ, 'OMP_WAIT_POLICY':'passive'} if role=='patient' else None
        self.role,self.p = role,subprocess.Popen([sys.executable, str(HERE), '--role', role, *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=env)
        self.about = self.answer()
    def answer(self):
        line = self.p.stdout.readline()
        return json.loads(line) if line else {'error':'the process ended', 'cases':[]}
    def turn(self, case):
        t,busy,own = time.perf_counter(),busy_seconds(),self.own_seconds()
        try: print(case, file=self.p.stdin, flush=True)
        except BrokenPipeError: pass
        got = self.answer(); own = max(0., self.own_seconds()-own)
        return {**got, 'others':round(max(0., busy_seconds()-busy-own)/(time.perf_counter()-t), 2)}
    def own_seconds(self): # processor time of the process and of its workers
        try: ps = [p := psutil.Process(self.p.pid), *p.children(recursive=True)]
        except psutil.NoSuchProcess: return 0.
        def one(p):
            try: c = p.cpu_times(); return c.user+c.system
            except psutil.NoSuchProcess: return 0.
        return sum(map(one, ps))
    def close(self): self.p.stdin.close(); self.p.wait()

def cpu_name():
    names = [l.split(':')[1].strip() for l in Path('/proc/cpuinfo').read_text().splitlines() if l.startswith('model name')] if Path('/proc/cpuinfo').exists() else []
    return names[0] if names else platform.processor()

def versions():
    out = {'python':platform.python_version()}
    for k in ('torch', 'torchvision', 'timm', 'albumentations', 'accelerate', 'fastai', 'fastcore'):
        try: out[k] = version(k)
        except PackageNotFoundError: pass
    return out

def summary(rates, base='ceiling'):
    "Median and extremes of images/s, and of the ratio to the ceiling of the same round"
    rows = {}
    for k,rs in rates.items():
        got = [r for r in rs if r]; share = [r/b for r,b in zip(rs, rates[base]) if r and b]
        if got: rows[k] = {'what':CASES[k], 'images_per_s':round(median(got), 2), 'lowest':round(min(got), 2), 'highest':round(max(got), 2),
                           **({'of_ceiling':round(median(share), 3), 'of_ceiling_lowest':round(min(share), 3), 'of_ceiling_highest':round(max(share), 3)} if share else {}), 'rounds':len(got)}
    return rows

def table(rows):
    print(f"\n{'':52}{'images/s':>9}{'from':>8}{'to':>8}{'of the ceiling':>16}")
    for r in rows.values(): print(f"{r['what']:52}{r['images_per_s']:9.1f}{r['lowest']:8.1f}{r['highest']:8.1f}{r.get('of_ceiling', float('nan')):9.1%} ({r.get('of_ceiling_lowest', 0):.0%}–{r.get('of_ceiling_highest', 0):.0%})")

def race(o, argv):
    log = open(o.log or os.devnull, 'w'); contenders = []; owner = {}; before = os.getloadavg() if hasattr(os, 'getloadavg') else None
    try:
        for role in ROLES:
            contenders.append(c := Contender(role, argv, log)); print(f"{role}: {c.about.get('error') or ', '.join(c.about['cases'])}", flush=True)
            owner |= {k:c for k in c.about['cases'] if not (k=='compile' and o.no_compile)}
        rates,others,notes = {k:[] for k in CASES if k in owner},{k:[] for k in CASES if k in owner},{}
        if 'compile' in owner: notes['compile_s'] = round(owner['compile'].turn('compile').get('turn', float('nan')), 1); print(f"torch.compile and the first steps: {notes['compile_s']} s", flush=True)
        for r in range(o.rounds):
            order = list(rates); order = order[r%len(order):] + order[:r%len(order)]           # nobody is always first
            for k in order:
                got = owner[k].turn(k); rates[k].append(got.get('rate')); others[k].append(got['others']); told = f"{got['rate']:.1f}" if 'rate' in got else got['error']
                if 'error' in got: notes[k] = got['error']
                print(f'round {r+1}/{o.rounds}  {CASES[k]}: {told} (others: {got["others"]:.2f} cores)', flush=True)
    finally:
        for c in contenders: c.close()
    rows = summary(rates); table(rows)
    best = max((k for k in ('fastai', 'torchvision', 'albumentations') if k in rows), key=lambda k: rows[k]['images_per_s'], default=None)
    over = {k:round(median(a/b for a,b in zip(rates['whole'], rates[k]) if a and b), 2) for k in ('fastai', 'torchvision', 'albumentations') if k in rows}
    over32 = {k:round(median(a/b for a,b in zip(rates['whole32'], rates[k]) if a and b), 2) for k in over}
    print('whole training (and in fp32) against ' + ', '.join(f'{CASES[k]}: {v:.2f}× ({over32[k]:.2f}×)' for k,v in over.items()) + f'\nload average before {before}, after {os.getloadavg() if before else None}')
    about = next(c.about for c in contenders if c.role=='ours'); about.pop('cases', None)
    return {'command':f'python nbs/benchmarks/training_speed.py --data ../shared/neu-det --backbone {o.backbone} --size {o.size} --batch {o.batch} --steps {o.steps} --rounds {o.rounds} --workers {o.workers}' + ' --cpu'*o.cpu + ' --no-compile'*o.no_compile,
            'machine':{'cores':os.cpu_count(), 'cpu':cpu_name(), 'system':platform.system(), 'omp_wait_policy':os.environ.get('OMP_WAIT_POLICY', 'default'), **about, 'load_average_before':before, 'load_average_after':os.getloadavg() if before else None},
            'versions':versions(), 'settings':{k:getattr(o, k) for k in ('backbone', 'size', 'batch', 'steps', 'rounds', 'workers')}, 'rows':rows, 'whole_over_peer':over, 'whole32_over_peer':over32, 'best_peer':best, 'notes':notes, 'rates':{k:[r and round(r, 2) for r in v] for k,v in rates.items()}, 'others_cores':others}

def main():
    p = argparse.ArgumentParser(description='Images a second of a training step, of our whole training, and of others')
    p.add_argument('--data', default='../shared/neu-det', help='folder with images, as for defect_train')
    p.add_argument('--backbone', default='resnet50', help='a timm model')
    p.add_argument('--size', type=int, default=128, help='side of the images, pixels')
    p.add_argument('--batch', type=int, default=32, help='images a step')
    p.add_argument('--steps', type=int, default=8, help='counted steps of a turn')
    p.add_argument('--rounds', type=int, default=3, help='turns of each')
    p.add_argument('--workers', type=int, default=min(8, max(1, (os.cpu_count() or 1)-1)), help='processes that prepare batches, for everybody')
    p.add_argument('--cpu', action='store_true', help='use the CPU even where there is a GPU')
    p.add_argument('--no-compile', action='store_true', help='leave torch.compile out, which takes a minute to compile')
    p.add_argument('--out', default=str(HERE.with_suffix('.json')), help='where the numbers go')
    p.add_argument('--log', help='a file for what the contenders print')
    p.add_argument('--role', choices=list(ROLES), help=argparse.SUPPRESS)
    o = p.parse_args()
    if o.role: return serve(o.role, o)
    argv = [a for k in ('data', 'backbone', 'size', 'batch', 'steps', 'workers') for a in (f'--{k}', str(getattr(o, k)))] + ['--cpu']*o.cpu
    Path(o.out).write_text(json.dumps(race(o, argv), indent=2) + '\n', encoding='utf-8')

if __name__=='__main__': main()

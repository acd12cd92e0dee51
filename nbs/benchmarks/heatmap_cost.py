"""What a heatmap costs on top of an answer, beside the packages that also make one.

    pip install torchcam captum && python nbs/benchmarks/heatmap_cost.py

One network, one process, the same images. Each contender gives, for a batch, the logits and the Grad-CAM map of each image's answer at
the features' resolution (grad-cam enlarges its maps to the image by itself). They take turns; a ratio is formed with the plain forward
pass of the same round, and the table shows the median over the rounds and the extremes.
*ours, six maps* explains all classes; *ours, finer* also reads two middle blocks with the local reader; *autograd* differentiates the head instead of using the closed form. captum makes maps only, for
classes that must be known, so it needs a forward pass before. torchcam keeps its hooks on the model, so it has a copy of its own."""
import argparse, copy, json, platform, time
from importlib.metadata import version
from pathlib import Path
from statistics import median

import torch

from defect_nbdev.core.files import write_text
from defect_nbdev.gradcam import cam_from_features
from defect_nbdev.explain.reader import fine_evidence, load_reader
from defect_nbdev.model import load_model

def forward(model):
    def run(x):
        with torch.no_grad(): return model(x)
    return run

def ours(model, **how):
    def run(x):
        with torch.no_grad(): return cam_from_features(model, model.features(x), **how)
    return run

def finer(name):
    def made(model):
        reader = load_reader(name, model)
        def run(x):
            with torch.no_grad(): return fine_evidence(model, model.backbone.levels(x), None, reader)
        return run
    return made

def grad_cam(model):
    from pytorch_grad_cam import GradCAM
    cam = GradCAM(model, [model.backbone.blocks[-1]])
    def run(x): return cam(x, None), cam.outputs
    return run

def torchcam(model):
    from torchcam.methods import GradCAM
    model = copy.deepcopy(model); cam = GradCAM(model, model.backbone.blocks[-1])
    def run(x):
        scores = model(x.requires_grad_()); return scores, cam(scores.argmax(1).tolist(), scores)
    return run

def captum(model):
    from captum.attr import LayerGradCam
    cam = LayerGradCam(model, model.backbone.blocks[-1])
    def run(x):
        with torch.no_grad(): scores = model(x)
        return scores, cam.attribute(x, scores.argmax(1), relu_attributions=True)
    return run

def cases(name): return {'forward pass alone':forward, 'ours':ours, 'ours, six maps':lambda m: ours(m, target='all'), 'ours, finer':finer(name), 'ours, autograd':lambda m: ours(m, autograd=True), 'torchcam':torchcam, 'captum':captum, 'grad-cam':grad_cam}

def seconds(run, x, repeats, sync):
    sync(); t = time.perf_counter()
    for _ in range(repeats): run(x.detach().clone())
    sync(); return (time.perf_counter()-t)/repeats

def measure(name, batch, o):
    "Ratios of each contender to the forward pass: {case: [median, least, most]} and the forward's milliseconds"
    model,config = load_model(name); model = model.to(o.device, memory_format=torch.channels_last); n = config.preprocess.size; torch.manual_seed(0)
    x = torch.randn(batch, 3, n, n).to(o.device, memory_format=torch.channels_last); repeats = max(1, round(o.images/batch)); sync = torch.cuda.synchronize if o.device=='cuda' else lambda: None
    runs = {k:make(model) for k,make in cases(name).items()}
    for run in runs.values(): seconds(run, x, 1, sync)
    took = [{k:seconds(run, x, repeats, sync) for k,run in runs.items()} for _ in range(o.rounds)]
    ratios = {k:[t[k]/t['forward pass alone'] for t in took] for k in runs}
    return {'model':name, 'batch':batch, 'pixels':n, 'forward_ms':round(median(t['forward pass alone'] for t in took)*1e3, 1), 'ratios':{k:[round(f(r), 3) for f in (median, min, max)] for k,r in ratios.items()}}

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter); p.add_argument('--models', nargs='*', default=['neu-resnet50', 'neu-lite0'])
    p.add_argument('--batches', type=int, nargs='*', default=[1, 32]); p.add_argument('--images', type=int, default=64, help='in each turn'); p.add_argument('--rounds', type=int, default=9)
    p.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu'); o = p.parse_args()
    rows = []
    for name in o.models:
        for batch in o.batches:
            rows.append(measure(name, batch, o)); r = rows[-1]; print(f"{name}, batch {batch}, {r['pixels']} px, forward {r['forward_ms']} ms", flush=True)
            for k,v in r['ratios'].items(): print(f'  {k:22} {v[0]:5.2f}  ({v[1]:.2f} to {v[2]:.2f})')
    where = {'device':torch.cuda.get_device_name() if o.device=='cuda' else f'{platform.machine()} CPU, {torch.get_num_threads()} threads', 'versions':{k:version(k) for k in ('torch', 'grad-cam', 'torchcam', 'captum')}}
    write_text(Path(__file__).with_suffix('.json'), json.dumps({**where, 'rounds':o.rounds, 'rows':rows}, indent=1) + '\n')

if __name__=='__main__': main()

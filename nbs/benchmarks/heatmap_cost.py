"""What a heatmap costs on top of a prediction, beside the packages that also make one.

    pip install torchcam captum && python nbs/benchmarks/heatmap_cost.py

One network, one process, the same images. Each contender gives, for a batch, the logits and the
Grad-CAM map of each image's answer at the features' resolution (grad-cam enlarges its maps to the
image by itself). They take turns; a ratio is formed with the plain forward pass of the same round,
and the table shows the median over the rounds and the extremes. *ours, six maps* explains all
classes; *ours, as shown* is what the inspector shows: the maps of all classes made finer, by the
local reader or by the detection head, with the boxes of a model that has a head; *ours, autograd*
differentiates the head instead of using the closed form. captum makes maps only, for classes that
must be known, so it needs a forward pass before. torchcam keeps its hooks on the model, so it has
a copy of its own."""
import copy
import platform
import time
from statistics import median

import torch

from common import json_beside, make_parser, median_and_range, package_versions, write_json
from defect_nbdev.detection.predict import sharpen_evidence
from defect_nbdev.explain.reader import fine_evidence
from defect_nbdev.gradcam import cam_from_features
from defect_nbdev.inference.torch_engine import load_torch_engine
from defect_nbdev.model import load_model

FORWARD = 'forward pass alone'


# Contenders: from a model to a function of images (B,3,H,W)
def forward_pass(model):
    def run(x):
        with torch.no_grad(): return model(x)
    return run


def ours(model, **options):
    def run(x):
        with torch.no_grad(): return cam_from_features(model, model.features(x), **options)
    return run


def ours_as_shown(name, device):
    network = load_torch_engine(name, device).network
    def run(x):
        with torch.no_grad():
            levels = network.levels(x)
            evidence,logits = fine_evidence(network.model, levels, 'all', network.reader,
                                            network.size)
            if network.boxes is None: return evidence, logits
            *drawn,inside = network.boxes(levels, x.new_zeros(len(x)), network.size)
            return sharpen_evidence(evidence, inside), logits, drawn
    return run


def grad_cam(model):
    from pytorch_grad_cam import GradCAM # optional: only compared with
    cam = GradCAM(model, [model.backbone.blocks[-1]])
    def run(x): return cam(x, None), cam.outputs
    return run


def torchcam(model):
    from torchcam.methods import GradCAM # optional: only compared with
    model = copy.deepcopy(model)
    cam = GradCAM(model, model.backbone.blocks[-1])
    def run(x):
        scores = model(x.requires_grad_())
        return scores, cam(scores.argmax(1).tolist(), scores)
    return run


def captum(model):
    from captum.attr import LayerGradCam # optional: only compared with
    cam = LayerGradCam(model, model.backbone.blocks[-1])
    def run(x):
        with torch.no_grad(): scores = model(x)
        return scores, cam.attribute(x, scores.argmax(1), relu_attributions=True)
    return run


def make_contenders(name, model, device):
    "{case: function of images}"
    return {
        FORWARD:forward_pass(model),
        'ours':ours(model),
        'ours, six maps':ours(model, target='all'),
        'ours, as shown':ours_as_shown(name, device),
        'ours, autograd':ours(model, autograd=True),
        'torchcam':torchcam(model),
        'captum':captum(model),
        'grad-cam':grad_cam(model)}


def seconds_per_run(run, x, repeats):
    "Time of one run, a GPU's work included"
    def now():
        if x.is_cuda: torch.cuda.synchronize()
        return time.perf_counter()
    start = now()
    for _ in range(repeats):
        run(x.detach().clone())
    return (now()-start)/repeats


def measure(name, batch, args):
    "A row: ratios of each contender to the forward pass, and the forward pass's milliseconds"
    model,config = load_model(name)
    model = model.to(args.device, memory_format=torch.channels_last)
    size = config.preprocess.size
    torch.manual_seed(0)
    x = torch.randn(batch, 3, size, size)
    x = x.to(args.device, memory_format=torch.channels_last)
    contenders = make_contenders(name, model, args.device)
    for run in contenders.values(): # warm up
        seconds_per_run(run, x, 1)
    repeats = max(1, round(args.images/batch))
    rounds = [{case:seconds_per_run(run, x, repeats) for case,run in contenders.items()}
              for _ in range(args.rounds)]
    ratios = {case:median_and_range((r[case]/r[FORWARD] for r in rounds), 3)
              for case in contenders}
    forward_ms = round(median(r[FORWARD] for r in rounds)*1e3, 1)
    return {'model':name, 'batch':batch, 'pixels':size, 'forward_ms':forward_ms, 'ratios':ratios}


def print_row(row):
    print(f"{row['model']}, batch {row['batch']}, {row['pixels']} px, "
          f"forward {row['forward_ms']} ms", flush=True)
    for case,(middle,least,most) in row['ratios'].items():
        print(f'  {case:22} {middle:5.2f}  ({least:.2f} to {most:.2f})')


def parse_args():
    parser = make_parser(__doc__)
    parser.add_argument('--models', nargs='*', default=['neu-resnet50', 'neu-lite0'])
    parser.add_argument('--batches', type=int, nargs='*', default=[1, 32])
    parser.add_argument('--images', type=int, default=64, help='in each turn')
    parser.add_argument('--rounds', type=int, default=9)
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--out', default=json_beside(__file__))
    return parser.parse_args()


def main():
    args,rows = parse_args(),[]
    for name in args.models:
        for batch in args.batches:
            rows.append(measure(name, batch, args))
            print_row(rows[-1])
    device = f'{platform.machine()} CPU, {torch.get_num_threads()} threads'
    if args.device=='cuda':
        device = torch.cuda.get_device_name()
    versions = package_versions('torch', 'grad-cam', 'torchcam', 'captum')
    write_json(args.out, {'device':device, 'versions':versions, 'rounds':args.rounds, 'rows':rows})


if __name__=='__main__': main()

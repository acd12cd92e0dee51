"""What a prediction with the heatmaps of all classes costs on a GPU, and its share of the roofline.

    python nbs/benchmarks/gpu.py --data ../shared/neu-det

One process, the same pixels. Eager PyTorch, torch.compile and CUDA graphs (compile's `reduce-
overhead`), each in fp32, bf16 and fp16, and TensorRT through ONNX Runtime where `onnxruntime-gpu`
brings it, take turns as in `engines.py`; a speed-up is formed with eager fp32 of the same round.
With --data, right answers, equal labels and the correlation of the maps are counted on the images
that judged the models' training. The share of the roofline is the operations of convolutions and
matrix products, as PyTorch's counter has them, over the card's peak for the type by its maker's
data sheet, dense and without TF32; for another card give --tflops. After --minutes nothing new is
begun. The result goes into gpu.json beside this file. Without a GPU nothing is measured: the file
keeps what it holds, and a new one says of each row that it was not."""
import json
import tempfile
import time
from functools import partial
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from common import json_beside, make_parser, package_versions, read_json, write_json
from defect_nbdev.core.cli import import_optional
from defect_nbdev.inference.export import export_model, trial_images
from defect_nbdev.inference.torch_engine import load_torch_engine
from engines import BASELINE, Autocast, compiled, load_images, measure_quality, measure_turns
from engines import torch_engines

PEAKS = { # part of a card's name -> TFLOPS by type, from data sheets
    'H200':{'fp32':66.9, 'half':989.4},
    'H100':{'fp32':66.9, 'half':989.4},
    'A100':{'fp32':19.5, 'half':312.},
    'L40S':{'fp32':91.6, 'half':362.},
    'L4':{'fp32':30.3, 'half':121.},
    'T4':{'fp32':8.1, 'half':65.}}
HALF = {'bf16':torch.bfloat16, 'fp16':torch.float16}
WAYS = { # how a network is run -> how it is made from another
    'eager':lambda network: network,
    'torch.compile':compiled,
    'CUDA graphs':partial(compiled, mode='reduce-overhead')}
TENSORRT = 'TensorRT fp16'


def half_precision(network, wrap, dtype):
    return wrap(Autocast(network, dtype))


def make_wrappers():
    "engine -> how its network is made from the InferenceModel; the baseline first"
    wrappers = {f'{way} fp32':wrap for way,wrap in WAYS.items()}
    for name,dtype in HALF.items():
        for way,wrap in WAYS.items():
            wrappers[f'{way} {name}'] = partial(half_precision, wrap=wrap, dtype=dtype)
    return wrappers


class TensorRTEngine:
    "An exported file, run by TensorRT in half precision"
    def __init__(self, file):
        runtime = import_optional('onnxruntime', 'onnx')
        name = 'TensorrtExecutionProvider'
        if name not in runtime.get_available_providers():
            raise ValueError('onnxruntime-gpu with TensorRT is not installed')
        providers = [(name, {'trt_fp16_enable':True}), 'CUDAExecutionProvider']
        self.session = runtime.InferenceSession(str(file), providers=providers)

    def run(self, pixels):
        return self.session.run(None, {'pixels':pixels})


def load_tensorrt(name, folder):
    "{engine: TensorRTEngine}, empty where it cannot be had"
    file = folder/f'{name}.onnx'
    try:
        export_model(load_torch_engine(name, 'cpu'), file)
        return {TENSORRT:TensorRTEngine(file)}
    except Exception as e: # of the driver, of TensorRT, of a library that is not there
        print(f'  {TENSORRT}: {e}', flush=True)
        return {}


def count_operations(engine):
    "Floating-point operations of one image"
    pixels = torch.zeros(1, engine.size, engine.size, 3, dtype=torch.uint8, device='cuda')
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        engine.network(pixels)
    return counter.get_total_flops()


def find_peaks(name, given):
    "TFLOPS of a card by type; empty if nobody says"
    return given or next((peaks for part,peaks in PEAKS.items() if part in name), {})


def add_roofline(rows, operations, peaks):
    "Add images a second and the share of the card's peak to rows"
    for row in rows:
        seconds = row['ms'][0]/1e3
        row.update(images_per_s=round(1/seconds, 1), gflop=round(operations/1e9, 2))
        peak = peaks.get('fp32' if row['engine'].endswith('fp32') else 'half')
        if peak: row['roofline'] = round(operations/seconds/peak/1e12, 4)


def measure_model(name, args, peaks, deadline):
    "(rows, quality) of one model; engines that are not reached in time are left out"
    base,rows = load_torch_engine(name, 'cuda'),[]
    images = load_images(name, base, args)
    pixels = trial_images(base.size) if images.validation is None else images.validation
    operations = count_operations(base)
    wrappers,quality = make_wrappers(),{}
    with tempfile.TemporaryDirectory() as folder:
        for key,wrap in [*wrappers.items(), (TENSORRT, None)]:
            if time.monotonic()>deadline: break
            engines = torch_engines(name, 'cuda', {BASELINE:wrappers[BASELINE]})
            if wrap is None: engines |= load_tensorrt(name, Path(folder))
            elif key!=BASELINE: engines |= torch_engines(name, 'cuda', {key:wrap})
            if key not in engines: continue
            for batch in args.batches:
                measured = measure_turns(name, engines, pixels, batch, args)
                rows += [row for row in measured if row['engine']==key]
            if images.targets is not None and wrap is not None:
                quality |= {key:measure_quality(engines, images.validation, images.targets)[key]}
    add_roofline(rows, operations, peaks)
    return rows, quality


def not_measured(args):
    "A row of each model, engine and batch without a number"
    return [{'model':model, 'engine':engine, 'batch':batch, 'ms':None}
            for model in args.models for engine in (*make_wrappers(), TENSORRT)
            for batch in args.batches]


def with_missing(rows, args):
    "All rows in their order; those that were not measured say so"
    def place(row): return row['model'], row['engine'], row['batch']
    measured = {place(row):row for row in rows}
    return [measured.get(place(row), row) for row in not_measured(args)]


def print_row(row):
    name = f"{row['model']} ×{row['batch']:<3} {row['engine']:20}"
    if row['ms'] is None: return print(f'{name} not measured')
    share = f"  {row['roofline']:.1%} of peak" if 'roofline' in row else ''
    print(f"{name} {row['ms'][0]:8.3f} ms  {row['speedup'][0]:6.2f}×  "
          f"{row['images_per_s']:9.1f}/s{share}", flush=True)


def parse_args():
    parser = make_parser(__doc__)
    parser.add_argument('--models', nargs='*', default=['neu-resnet50', 'neu-lite0'])
    parser.add_argument('--data', help='the images the models were trained on; without, no '
                                       'quality')
    parser.add_argument('--batches', type=int, nargs='*', default=[1, 32])
    parser.add_argument('--images', type=int, default=256, help='in each turn')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--judged', type=int, default=400, help='validation images, at most')
    parser.add_argument('--minutes', type=float, default=10)
    parser.add_argument('--tflops', type=json.loads, help='peaks as JSON: fp32 and half')
    parser.add_argument('--out', default=json_beside(__file__))
    return parser.parse_args()


def main():
    args,rows,quality,device = parse_args(),[],{},None
    if torch.cuda.is_available():
        device,deadline = torch.cuda.get_device_name(),time.monotonic() + 60*args.minutes
        peaks = find_peaks(device, args.tflops)
        for name in args.models:
            own,quality[name] = measure_model(name, args, peaks, deadline)
            rows += own
    elif (read_json(args.out) or {}).get('device') is not None:
        return print(f'No GPU here; {args.out} keeps what was measured on one.')
    else: print('No GPU here; nothing is measured.')
    rows = with_missing(rows, args)
    for row in rows: print_row(row)
    write_json(args.out, {'device':device, 'versions':package_versions('torch', 'onnxruntime-gpu'),
                          'rows':rows, 'quality':quality})


if __name__=='__main__': main()

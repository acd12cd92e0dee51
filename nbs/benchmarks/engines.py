"""What a prediction with the heatmaps of all classes costs in each engine, and whether it is the
same prediction.

    pip install -e ".[onnx,openvino]"
    python nbs/benchmarks/engines.py --data ../shared/neu-det

One process, the same pixels, all engines on the same number of threads. They take turns; a
speed-up is formed with eager PyTorch in 32 bits of the same round, and the table shows the median
over the rounds and the extremes; one that takes three times as long has one turn. Each turn goes
from uint8 pixels in memory to logits, probabilities, label sets, unknown-score, verdict and all
maps in memory; reading and resizing an image are the same for all and left out. Right answers,
labels the same as PyTorch's and the correlation of the maps are counted on the images that judged
the model's training; 8 bits have a script of their own, `int8.py`, and so has a GPU,
`gpu.py`. *Start to first answer* is a fresh Python that reads one JPEG."""
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from common import json_beside, make_parser, median_and_range, package_versions, write_json
from defect_nbdev.datasets.layouts import evenly_spaced
from defect_nbdev.inference.command import read_pixels, read_split
from defect_nbdev.inference.engines import EngineOutputs, compare_outputs, load_engine
from defect_nbdev.inference.export import export_model, trial_images
from defect_nbdev.inference.torch_engine import load_torch_engine

BASELINE = 'eager fp32'


class Autocast(torch.nn.Module):
    "An InferenceModel whose backbone runs in another type; what follows it stays in 32 bits"
    def __init__(self, network, dtype=torch.bfloat16):
        super().__init__()
        self.network,self.dtype,self.pixels = network,dtype,network.pixels

    def forward(self, pixels):
        with torch.autocast(pixels.device.type, self.dtype):
            return self.network(pixels)


def compiled(network, **options):
    return torch.compile(network, dynamic=False, **options)


ON_CPU = { # engine -> how its network is made from the InferenceModel
    BASELINE:lambda network: network,
    'eager bf16':Autocast,
    'torch.compile':compiled}


class Images(NamedTuple):
    "What a model is measured on; None without --data"
    validation:np.ndarray|None=None # (M,size,size,3) uint8
    targets:np.ndarray|None=None # (M,) their classes


def load_images(name, base, args):
    "Images of a model's training and validation"
    if not args.data: return Images()
    _,valid = read_split(name, args.data)
    chosen = evenly_spaced(len(valid), args.judged)
    valid = replace(valid, samples=tuple(valid[i] for i in chosen))
    targets = np.array([base.classes.index(sample.label) for sample in valid])
    return Images(read_pixels(valid, base.size), targets)


def torch_engines(name, device, wrappers):
    "{engine: Engine} in PyTorch"
    engines = {}
    for key,wrap in wrappers.items():
        engines[key] = load_torch_engine(name, device)
        engines[key].network = wrap(engines[key].network)
    return engines


def exported_engines(name, base, folder, images, threads):
    "({engine: Engine} from exported files, {engine: why it is missing})"
    engines,missing,validation = {},{},images.validation
    some = None if validation is None else validation[::8]
    exports = {'ONNX Runtime fp32':f'{name}.onnx', 'OpenVINO fp32':f'{name}.xml'}
    for key,file in exports.items():
        try:
            export_model(base, folder/file, validation_images=some)
            engines[key] = load_engine(folder/file, threads)
        except ValueError as e:
            missing[key] = str(e).split(': ', 1)[-1]
            print(f'  {key}: {missing[key]}', flush=True)
    return engines,missing


def seconds_per_image(engine, pixels, n_images):
    "Time of about n images in batches"
    repeats = max(1, round(n_images/len(pixels)))
    start = time.perf_counter()
    for _ in range(repeats):
        engine.run(pixels)
    return (time.perf_counter()-start)/repeats/len(pixels)


def measure_turns(name, engines, pixels, batch, args):
    "Rows: milliseconds an image and speed-ups over the baseline, median and extremes over rounds"
    pixels = pixels[np.arange(batch)%len(pixels)]
    for engine in engines.values(): # warm up
        engine.run(pixels)

    rounds = [{key:seconds_per_image(engine, pixels, args.images)
               for key,engine in engines.items()}]
    fast = [key for key,seconds in rounds[0].items() if seconds<3*rounds[0][BASELINE]]
    for _ in range(args.rounds-1):
        rounds.append({key:seconds_per_image(engines[key], pixels, args.images) for key in fast})

    rows = []
    for key in engines:
        own = [r for r in rounds if key in r]
        rows.append({'model':name, 'engine':key, 'batch':batch,
                     'ms':median_and_range((r[key]*1e3 for r in own), 2),
                     'speedup':median_and_range((r[BASELINE]/r[key] for r in own), 3)})
    return rows


def predict(engine, pixels, batch=32):
    "Outputs for many images"
    parts = [engine.run(pixels[i:i+batch]) for i in range(0, len(pixels), batch)]
    return EngineOutputs(*(None if column[0] is None else np.concatenate(column)
                           for column in zip(*parts)))


def measure_quality(engines, pixels, targets):
    "engine -> accuracy, and what differs from the baseline"
    expected,quality = predict(engines[BASELINE], pixels),{}
    for key,engine in engines.items():
        outputs = predict(engine, pixels)
        accuracy = round(float((outputs.logits.argmax(1)==targets).mean()), 4)
        found = compare_outputs(outputs, expected)
        quality[key] = {'accuracy':accuracy, **{k:float(f'{v:.4g}') for k,v in found.items()}}
    return quality


def measure_start(path):
    "Seconds from the start of a fresh Python to the first answer for a JPEG, least of five"
    with tempfile.TemporaryDirectory() as folder:
        Image.fromarray(trial_images(200)[0]).save(f'{folder}/steel.jpg')
        code = f"""import sys
from defect_nbdev.inference.inspector import load_inspector
prediction = load_inspector({str(path)!r})('{folder}/steel.jpg')
prediction.overlay
assert 'torch' not in sys.modules"""
        seconds = []
        for _ in range(5):
            start = time.perf_counter()
            subprocess.run([sys.executable, '-c', code], check=True)
            seconds.append(time.perf_counter()-start)
    return round(min(seconds), 2)


def speed_goals(rows, quality):
    "Goals of speed, at the baseline's accuracy"
    def is_as_accurate(row):
        of_model = quality.get(row['model'], {})
        own = of_model.get(row['engine'], {}).get('accuracy', 0)
        return own>=of_model.get(BASELINE, {}).get('accuracy', 1)

    rows,goals = [row for row in rows if is_as_accurate(row)],[]
    speedups = [row['speedup'][0] for row in rows if row['model']=='neu-resnet50']
    if speedups:
        goals.append({'goal':'ResNet-50: best engine ≥ 5× eager fp32 at equal accuracy',
                      'measured':f'{max(speedups):.2f}×', 'met':max(speedups)>=5})
    milliseconds = [row['ms'][0] for row in rows if row['model']=='neu-lite0' and row['batch']==1]
    if milliseconds:
        goals.append({'goal':'neu-lite0: ≤ 10 ms an image with its heatmaps, at equal accuracy',
                      'measured':f'{min(milliseconds):.1f} ms', 'met':min(milliseconds)<=10})
    return goals


def check_goals(rows, quality, start):
    "Every goal beside what was measured"
    goals = speed_goals(rows, quality)
    for model,seconds in start.items():
        goals.append({'goal':f'{model}: start to first answer through ONNX Runtime ≤ 2 s',
                      'measured':f'{seconds:.2f} s', 'met':seconds<=2})
    return goals


def print_row(row):
    middle,least,most = row['speedup']
    text = (f"{row['model']} ×{row['batch']:<3} {row['engine']:18} {row['ms'][0]:8.2f} ms  "
            f'{middle:6.2f}×  ({least:.2f} to {most:.2f})')
    print(text, flush=True)


class Results:
    "What is measured of all models"
    def __init__(self):
        self.rows,self.quality,self.start,self.missing = [],{},{},{}

    def add(self, name, rows, engines, images):
        "Rows of a model, and the quality of its engines"
        self.rows += rows
        if images.targets is not None:
            self.quality[name] = measure_quality(engines, images.validation, images.targets)
        for row in rows:
            print_row(row)


def measure_model(name, base, pixels, images, args, results):
    "PyTorch and the exported files on a CPU"
    wrappers = {key:wrap for key,wrap in ON_CPU.items()
                if key!='torch.compile' or not args.no_compile}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        exported,results.missing[name] = exported_engines(name, base, folder, images, args.threads)
        engines = {**torch_engines(name, 'cpu', wrappers), **exported}
        rows = [row for batch in args.batches
                for row in measure_turns(name, engines, pixels, batch, args)]
        onnx = folder/f'{name}.onnx'
        if onnx.is_file():
            results.start[name] = measure_start(onnx)
    # bf16 takes too long on a processor without it, torch.compile has eager's graph
    exact = {key:engine for key,engine in engines.items()
             if key not in ('eager bf16', 'torch.compile')}
    results.add(name, rows, exact, images)


def parse_args():
    parser = make_parser(__doc__)
    parser.add_argument('--models', nargs='*', default=['neu-resnet50', 'neu-lite0'])
    parser.add_argument('--data', help='the images the models were trained on; without, no '
                                       'quality')
    parser.add_argument('--batches', type=int, nargs='*', default=[1, 32])
    parser.add_argument('--images', type=int, default=64, help='in each turn')
    parser.add_argument('--rounds', type=int, default=9)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--judged', type=int, default=400, help='validation images, at most')
    parser.add_argument('--no-compile', action='store_true')
    parser.add_argument('--out', default=json_beside(__file__))
    return parser.parse_args()


def main():
    args,results = parse_args(),Results()
    torch.set_num_threads(args.threads)
    for name in args.models:
        base = load_torch_engine(name, 'cpu')
        images = load_images(name, base, args)
        pixels = trial_images(base.size) if images.validation is None else images.validation
        measure_model(name, base, pixels, images, args, results)
    goals = check_goals(results.rows, results.quality, results.start)
    for goal in goals:
        verdict = 'met' if goal['met'] else 'missed'
        print(f"{goal['goal']:70} {goal['measured']:>9}  {verdict}")
    write_json(args.out, {
        'device':f'{platform.machine()} CPU, {args.threads} threads',
        'versions':package_versions('torch', 'onnxruntime', 'openvino'),
        'rounds':args.rounds, 'images':args.images, 'rows':results.rows,
        'quality':results.quality, 'start_to_first_answer_s':results.start,
        'missing':results.missing, 'goals':goals})


if __name__=='__main__': main()

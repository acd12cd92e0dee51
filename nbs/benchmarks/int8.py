"""What an export in 8 bits keeps of the answers in 32 bits, and how much faster it is.

    pip install -e ".[onnx,openvino]"
    python nbs/benchmarks/int8.py --data ../shared/neu-det

OpenVINO computes all. *plain* rounds the whole backbone and nothing else; *exported* is the file
that `defect_export --int8` writes: offsets taken off, and as many first blocks in 32 bits as the
learned images asked for. Compared with 32 bits on the images that judged the model (on which an
export that changes too much is refused, so they are not free of choice), on a corrupted copy of
each, and on 60 generated ones; these two decided nothing. For the time the engines take turns on
the same pixels; a ratio is formed within a turn."""
import platform
import tempfile
import time
from pathlib import Path

import numpy as np

from common import cpu_name, json_beside, make_parser, median_and_range, package_versions
from common import update_json
from defect_nbdev.core.images import resize_to, to_rgb
from defect_nbdev.datasets.synthetic import make_steel
from defect_nbdev.inference.command import read_pixels, read_split
from defect_nbdev.inference.engines import Engine, OpenVinoEngine, compare_outputs, load_engine
from defect_nbdev.inference.engines import openvino_core
from defect_nbdev.inference.export import calibration_sets, export_model, quantize, to_onnx
from defect_nbdev.inference.torch_engine import load_torch_engine
from defect_nbdev.uncertainty.fit import corrupted_copy

KINDS = 'Crazing', 'Inclusion', 'Patches', 'Pitted', 'Rolled-in Scale', 'Scratches'
FIRST_SEED = 10_000 # of corrupted copies: the export has used those from 0 on


class PlainInt8(OpenVinoEngine):
    "Quantised content that was neither checked nor sealed"
    def __init__(self, content, meta, threads):
        Engine.__init__(self, {**meta, 'precision':'int8'})
        xml,weights = content
        self.name,self.folder = 'plain',None
        self.load(xml.encode(), weights, threads)


def image_sets(valid, size, bits):
    "name -> pixels (N,size,size,3) uint8"
    judges = read_pixels(valid, size, bits)
    copies = [corrupted_copy(sample.read(), FIRST_SEED+i)
              for i,sample in enumerate(valid.with_bits(bits))]
    generated = [make_steel(kind, size=200, seed=seed).image for kind in KINDS
                 for seed in range(10)]
    return {'judges':judges, 'judges corrupted':as_pixels(copies, size),
            'generated':as_pixels(generated, size)}


def as_pixels(images, size):
    return np.stack([resize_to(to_rgb(image), size) for image in images])


def make_engines(base, folder, learned, judges, threads):
    "({name: Engine}, facts of the export)"
    export_model(base, folder/'fp32.xml')
    plain = quantize(to_onnx(base), calibration_sets(learned)[0])
    start = time.perf_counter()
    exported,_ = export_model(base, folder/'int8.xml', learned, judges)
    seconds = time.perf_counter()-start
    engines = {'fp32':load_engine(folder/'fp32.xml', threads),
               'plain':PlainInt8(plain, base.meta, threads),
               'exported':load_engine(folder/'int8.xml', threads)}
    size = sum((folder/f'int8{suffix}').stat().st_size for suffix in ('.xml', '.bin'))
    facts = {'blocks':len(base.model.backbone.blocks), 'in_32_bits':exported.meta['whole_blocks'],
             'export_seconds':round(seconds), 'mb':round(size/1e6, 1)}
    return engines,facts


def measure_agreement(engines, sets):
    "set -> engine -> what is the same as in 32 bits"
    found = {}
    for name,pixels in sets.items():
        exact = engines['fp32'].run_batches(pixels)
        found[name] = {'images':len(pixels)}
        for key in ('plain', 'exported'):
            same = compare_outputs(engines[key].run_batches(pixels), exact)
            found[name][key] = {k:float(f'{v:.4g}') for k,v in same.items()}
            print(f"  {name:18}{key:10}labels {same['same_labels']:.4f}  "
                  f"verdicts {same.get('same_verdicts', 1):.4f}  "
                  f"maps {same['map_correlation']:.4f}", flush=True)
    return found


def seconds_of(engine, pixels, n_images):
    "Time of an image, in batches"
    repeats = max(1, n_images//len(pixels))
    engine.run(pixels)
    start = time.perf_counter()
    for _ in range(repeats):
        engine.run(pixels)
    return (time.perf_counter()-start)/repeats/len(pixels)


def measure_speed(engines, pixels, args):
    "batch -> engine -> milliseconds an image and how many times as fast as 32 bits"
    found = {}
    for batch in args.batches:
        part = pixels[:batch]
        turns = [{key:seconds_of(engine, part, args.images) for key,engine in engines.items()}
                 for _ in range(args.rounds)]
        found[batch] = {}
        for key in engines:
            ratios = [turn['fp32']/turn[key] for turn in turns]
            milliseconds = [turn[key]*1e3 for turn in turns]
            found[batch][key] = {'ms':median_and_range(milliseconds, 2),
                                 'times':median_and_range(ratios, 2)}
        print(f'  ×{batch}', {key:row['times'] for key,row in found[batch].items()}, flush=True)
    return found


def measure_model(name, args):
    "All of a model"
    base = load_torch_engine(name, 'cpu')
    train,valid = read_split(name, args.data)
    learned = read_pixels(train, base.size, base.bits)
    sets = image_sets(valid, base.size, base.bits)
    with tempfile.TemporaryDirectory() as folder:
        engines,facts = make_engines(base, Path(folder), learned, sets['judges'], args.threads)
        print(name, facts, flush=True)
        return {**facts, 'agreement':measure_agreement(engines, sets),
                'speed':measure_speed(engines, sets['judges'], args)}


def parse_args():
    parser = make_parser(__doc__)
    parser.add_argument('--models', nargs='*', default=['neu-lite0', 'neu-resnet50'])
    parser.add_argument('--data', required=True, help='the images the models were trained on')
    parser.add_argument('--batches', type=int, nargs='*', default=[1, 16])
    parser.add_argument('--images', type=int, default=16, help='in each turn')
    parser.add_argument('--rounds', type=int, default=9)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--out', default=json_beside(__file__))
    return parser.parse_args()


def main():
    args = parse_args()
    capabilities = openvino_core().get_property('CPU', 'OPTIMIZATION_CAPABILITIES')
    update_json(args.out, device=f'{platform.machine()}, {cpu_name()}', threads=args.threads,
                capabilities=list(capabilities), rounds=args.rounds,
                versions=package_versions('openvino', 'nncf'))
    for name in args.models:
        update_json(args.out, **{name:measure_model(name, args)})


if __name__=='__main__': main()

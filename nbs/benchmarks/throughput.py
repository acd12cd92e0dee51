"""How fast `defect_inspect` is beside its engine, how much memory it takes, and how soon a watched
folder answers.

    pip install -e ".[onnx,openvino]" && python nbs/benchmarks/throughput.py

10,000 generated images of 200 x 200 pixels as PNG files (1,250 pieces of steel, each in its eight
orientations). In turns, a part of them is inspected from the files to safe rows in the store, and
before and after the engine alone is given the same images as arrays, already decoded and resized,
in the same batches on the same threads. The ratio of each turn is formed with the mean of its two
neighbours, so a machine that slows down meanwhile slows both; the table shows the median over the
turns and the extremes. *Memory* is the largest a fresh process needs for a tenth of the images and
for all (`--memory`). For *watch* a camera writes an image every 0.25 s into a watched folder, and
the time runs from its closing the file to the row's time."""
import platform
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from common import (
    json_beside, make_parser, median_and_range, package_versions, read_json, resident_mb,
    write_json,
)
from defect_nbdev.batch.files import find_images
from defect_nbdev.batch.results import Results
from defect_nbdev.batch.run import inspect_files, side_by_side
from defect_nbdev.batch.watch import watch
from defect_nbdev.core.cli import cpu_count
from defect_nbdev.core.images import read_image, resize_to
from defect_nbdev.datasets.layouts import NEU_CLASSES
from defect_nbdev.datasets.synthetic import make_steel
from defect_nbdev.inference.inspector import load_inspector
from defect_nbdev.inference.loading import find_source


def write_images(folder, n):
    "n different PNG files: pieces of steel, each in its eight orientations"
    folder.mkdir()
    for k in range(n):
        piece,orientation = divmod(k, 8)
        if orientation==0:
            steel = make_steel(NEU_CLASSES[piece%6], seed=piece).image
        mirrored = steel if orientation<4 else steel[:,::-1]
        pixels = np.ascontiguousarray(np.rot90(mirrored, orientation))
        Image.fromarray(pixels).save(folder/f'steel_{k}.png')


def read_pixels(files, size):
    return np.stack([resize_to(read_image(file), size) for file in files])


def engine_seconds(engine, pixels, batch):
    "Seconds an image of the engine alone"
    start = time.perf_counter()
    for k in range(0, len(pixels), batch):
        engine.run(pixels[k:k+batch])
    return (time.perf_counter()-start)/len(pixels)


def inspect_seconds(results, files, batch, lanes):
    "Seconds an image, from the files to rows in the store"
    start = time.perf_counter()
    n = inspect_files(results, list(files), batch=batch, lanes=lanes)
    return (time.perf_counter()-start)/n


def measure_speed(name, engine, n, files, out, args):
    "Ratios of the whole to the engine alone, turn by turn"
    threads,lanes = side_by_side(find_source(name, engine=engine).engine)
    bare = load_inspector(name, engine=engine).engine
    inspector = load_inspector(name, engine=engine, threads=threads)
    parts = np.array_split(np.array(files[:int(n)]), args.turns)

    def measure_alone(part):
        return engine_seconds(bare, read_pixels(part[:args.alone], bare.size), args.batch)

    engine_seconds(bare, read_pixels(parts[0][:4*args.batch], bare.size), args.batch) # warm up
    with Results(inspector, out) as results:
        alone,whole = [measure_alone(parts[0])],[]
        for part in parts:
            whole.append(inspect_seconds(results, part, args.batch, lanes))
            alone.append(measure_alone(part))
        n_rows = sum(1 for _ in results.rows())
    ratios = [(before+after)/2/own for before,after,own in zip(alone, alone[1:], whole)]
    row = {'model':name, 'engine':engine, 'images':n_rows, 'batch':args.batch,
           'images_per_second':round(1/median(whole), 1), 'alone':round(1/median(alone), 1),
           'ratio':median_and_range(ratios, 3), 'turns':args.turns}
    print(row, flush=True)
    return row


def inspect_and_print_memory(name, engine, folder, out, n):
    "In a process of its own: MiB for the start alone, and for n images"
    inspector = load_inspector(name, engine=engine)
    start_mb = resident_mb('self', 'VmHWM')
    files = [file.path for file in find_images([folder])][:n]
    with Results(inspector, out) as results:
        inspect_files(results, files)
        results.finish()
    print(start_mb, resident_mb('self', 'VmHWM'))


def measure_memory(name, engine, folder, n):
    "MB that a process needs for n images, and for the start alone"
    arguments = name, engine, str(folder), str(folder.parent/f'memory{n}'), n
    code = f"""import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from throughput import inspect_and_print_memory
inspect_and_print_memory(*{arguments!r})"""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    start_mb,most_mb = map(int, done.stdout.split())
    print(f'{n} images: {most_mb} MB, {start_mb} before the first', flush=True)
    return {'images':n, 'mb':most_mb, 'start_mb':start_mb}


class Camera(threading.Thread):
    "Writes images into a folder, one after a pause, then sets `stop`"
    def __init__(self, folder, n, pause, stop):
        super().__init__()
        self.folder,self.n,self.pause,self.stop = folder,n,pause,stop
        self.closed = {} # file -> when it was closed

    def run(self):
        time.sleep(2)
        for k in range(self.n):
            file = self.folder/f'{k}.png'
            Image.fromarray(make_steel(NEU_CLASSES[k%6], seed=k).image).save(file)
            self.closed[str(file)] = time.time()
            time.sleep(self.pause)
        time.sleep(2)
        self.stop.set()


def measure_watch(name, engine, top, n=60, pause=.25):
    "Seconds from a closed file to its row"
    inspector,folder,stop = load_inspector(name, engine=engine),top/'camera',threading.Event()
    folder.mkdir()
    camera = Camera(folder, n, pause, stop)
    camera.start()
    with Results(inspector, top/'watched') as results:
        watch(results, [folder], stop)
        rows = list(results.rows())
    camera.join()
    seconds = sorted(datetime.fromisoformat(row['time']).timestamp()-camera.closed[row['file']]
                     for row in rows)
    quantiles = {'median':median(seconds), 'p95':seconds[int(.95*len(seconds))], 'max':seconds[-1]}
    row = {'model':name, 'engine':engine, 'images':len(seconds), 'of':n,
           'seconds':{k:round(v, 3) for k,v in quantiles.items()},
           'within_1s':sum(s<=1 for s in seconds)}
    print(row, flush=True)
    return row


def measure(top, args):
    "The parts that were asked for"
    folder,results = top/'steel',{}
    write_images(folder, args.images)
    files = [file.path for file in find_images([folder])]
    print(f'{len(files)} images', flush=True)
    models = [model.split(':') for model in args.models]
    if 'speed' in args.parts:
        results['speed'] = [measure_speed(name, engine, n, files, top/f'{name}-{engine}', args)
                            for name,engine,n in models]
    if 'memory' in args.parts:
        name,engine,_ = models[0]
        results['memory'] = [measure_memory(name, engine, folder, n)
                             for n in (args.images//10, args.images)]
    if 'watch' in args.parts:
        name,engine,_ = models[-1]
        results['watch'] = [measure_watch(name, engine, top)]
    return results


def parse_args():
    parser = make_parser(__doc__)
    parser.add_argument('--images', type=int, default=10_000)
    parser.add_argument('--turns', type=int, default=10)
    parser.add_argument('--alone', type=int, default=200,
                        help='images the engine alone is given between two turns')
    parser.add_argument('--parts', nargs='+', default=['speed', 'memory', 'watch'],
                        help='what to measure; the rest of an earlier result is kept')
    parser.add_argument('--batch', type=int, default=8)
    parser.add_argument('--models', nargs='+',
                        default=['neu-lite0:onnx:10000', 'neu-resnet50:onnx:2000'],
                        help='model:engine:images')
    parser.add_argument('--out', default=json_beside(__file__))
    return parser.parse_args()


def main():
    args = parse_args()
    results = read_json(args.out, {})
    results['device'] = f'{platform.machine()} CPU, {cpu_count()} cores'
    results['versions'] = package_versions('onnxruntime', 'openvino', 'opencv-python', 'pillow')
    with tempfile.TemporaryDirectory() as folder:
        results |= measure(Path(folder), args)
    write_json(args.out, results)
    print('wrote', args.out)


if __name__=='__main__': main()

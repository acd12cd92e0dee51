"""How fast `defect_inspect` is beside its engine, how much memory it takes, and how soon a watched folder answers.

    pip install -e ".[onnx,openvino]" && python nbs/benchmarks/throughput.py

10,000 generated images of 200 x 200 pixels as PNG files (1,250 pieces of steel, each in its eight orientations). In turns, a part of them is inspected from the files to
safe rows in the store, and before and after the engine alone is given the same images as arrays, already decoded and resized, in the
same batches on the same threads. The ratio of each turn is formed with the mean of its two neighbours, so a machine that slows down meanwhile slows both;
the table shows the median over the turns and the extremes. *Memory* is the largest a fresh process needs for a tenth of the images and for all
(`--memory`). For *watch* a camera writes an image every 0.25 s into a watched folder, and the time runs from its closing the
file to the row's time."""
import argparse, json, os, platform, shutil, subprocess, sys, tempfile, threading, time
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from defect_nbdev.datasets.layouts import NEU_CLASSES
from defect_nbdev.core.images import read_image, resize_to
from defect_nbdev.core.files import write_text
from defect_nbdev.batch.results import Results
from defect_nbdev.batch.files import find_images
from defect_nbdev.batch.run import inspect_files, side_by_side
from defect_nbdev.inference.inspector import load_inspector
from defect_nbdev.datasets.synthetic import make_steel
from defect_nbdev.batch.watch import watch

def write_images(folder, n):
    "n different PNG files"
    folder.mkdir()
    for k in range((n+7)//8):
        steel = make_steel(NEU_CLASSES[k%6], seed=k).image
        for r in range(min(8, n-8*k)): Image.fromarray(np.ascontiguousarray(np.rot90(steel if r<4 else steel[:,::-1], r))).save(folder/f'steel_{8*k+r}.png')
    return folder

def engine_alone(inspector, pixels, batch):
    "Seconds an image"
    t = time.perf_counter()
    for k in range(0, len(pixels), batch): inspector.engine.run(pixels[k:k+batch])
    return (time.perf_counter()-t)/len(pixels)

def speed(name, engine, n, files, out, turns, alone, batch):
    "Ratios of the whole to the engine alone, turn by turn"
    threads,lanes = side_by_side(name, engine); ins = load_inspector(name, engine=engine); fast = load_inspector(name, engine=engine, threads=threads); parts = np.array_split(np.array(files[:int(n)]), turns); bare,whole = [],[]
    pixels = lambda part: np.stack([resize_to(read_image(p), ins.engine.size) for p in part[:alone]])
    engine_alone(ins, pixels(parts[0])[:4*batch], batch)
    with Results(fast, out) as r:
        bare.append(engine_alone(ins, pixels(parts[0]), batch))
        for part in parts:
            t = time.perf_counter(); done = inspect_files(r, list(part), batch=batch, lanes=lanes, say=print); whole.append((time.perf_counter()-t)/done)
            bare.append(engine_alone(ins, pixels(part), batch))
        rows = sum(1 for _ in r.rows())
    ratios = [(a+b)/2/w for a,b,w in zip(bare, bare[1:], whole)]
    row = {'model':name, 'engine':engine, 'images':rows, 'batch':batch, 'images_per_second':round(1/median(whole), 1), 'alone':round(1/median(bare), 1), 'ratio':[round(f(ratios), 3) for f in (median, min, max)], 'turns':turns}
    print(row, flush=True); return row

def peak(name, engine, folder, n):
    "MB that a process needs for n images, and for the start alone"
    code = f"""import re; from defect_nbdev.batch.run import *; from defect_nbdev.inference.inspector import load_inspector
ins = load_inspector({name!r}, engine={engine!r}); mb = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])//1024; first = mb()
with Results(ins, {str(folder.parent/f'memory{n}')!r}) as r: inspect_files(r, [str(f) for f in find_images([{str(folder)!r}])][:{n}]); r.finish(); print(first, mb())"""
    start,most = map(int, subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout.split()); print(f'{n} images: {most} MB, {start} before the first', flush=True)
    return {'images':n, 'mb':most, 'start_mb':start}

def arrivals(name, engine, top, n, pause):
    "Seconds from a closed file to its row"
    ins,folder,closed,stop = load_inspector(name, engine=engine),top/'camera',{},threading.Event(); folder.mkdir()
    def camera():
        time.sleep(2)
        for k in range(n):
            f = folder/f'{k}.png'; Image.fromarray(make_steel(NEU_CLASSES[k%6], seed=k).image).save(f); closed[str(f)] = time.time(); time.sleep(pause)
        time.sleep(2); stop.set()
    t = threading.Thread(target=camera); t.start()
    with Results(ins, top/'watched') as r: watch(r, [folder], stop); rows = list(r.rows())
    t.join(); took = sorted(datetime.fromisoformat(r['time']).timestamp()-closed[r['file']] for r in rows)
    row = {'model':name, 'engine':engine, 'images':len(took), 'of':n, 'seconds':{'median':round(median(took), 3), 'p95':round(took[int(.95*len(took))], 3), 'max':round(took[-1], 3)}, 'within_1s':sum(s<=1 for s in took)}
    print(row, flush=True); return row

def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0]); here = Path(__file__).parent
    p.add_argument('--images', type=int, default=10_000); p.add_argument('--turns', type=int, default=10); p.add_argument('--alone', type=int, default=200, help='images the engine alone is given between two turns')
    p.add_argument('--parts', nargs='+', default=['speed', 'memory', 'watch'], help='what to measure; the rest of an earlier result is kept')
    p.add_argument('--batch', type=int, default=8); p.add_argument('--models', nargs='+', default=['neu-lite0:onnx:10000', 'neu-resnet50:onnx:2000'], help='model:engine:images'); p.add_argument('--out', default=here/'throughput.json'); o = p.parse_args()
    top = Path(tempfile.mkdtemp())
    try:
        folder = write_images(top/'steel', o.images); files = [f.path for f in find_images([folder])]; print(f'{len(files)} images', flush=True)
        pairs = [m.split(':') for m in o.models]
        report = json.loads(Path(o.out).read_text()) if Path(o.out).is_file() else {}
        report |= {'device':f'{platform.machine()} CPU, {len(os.sched_getaffinity(0))} cores', 'versions':{k:version(k) for k in ('onnxruntime', 'openvino', 'opencv-python', 'pillow')}}
        if 'speed' in o.parts: report['speed'] = [speed(m, e, n, files, top/f'{m}-{e}', o.turns, o.alone, o.batch) for m,e,n in pairs]
        if 'memory' in o.parts: report['memory'] = [peak(*pairs[0][:2], folder, n) for n in (o.images//10, o.images)]
        if 'watch' in o.parts: report['watch'] = [arrivals(m, e, top, 60, .25) for m,e,_ in pairs[-1:]]
        write_text(o.out, json.dumps(report, indent=1) + '\n'); print('wrote', o.out)
    finally: shutil.rmtree(top)

if __name__=='__main__': main()

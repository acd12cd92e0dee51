"""How soon a first answer is there, and what it holds in memory, by engine.

    python nbs/benchmarks/startup.py

Each start is a Python of its own: the import of the inspector, a model's folder by its name, one
JPEG, its overlay. For each shipped model the engines take turns (as the package chooses, ONNX
Runtime, OpenVINO, PyTorch); the first turn, which makes graphs and measures engines, is not
counted. Then `defect_inspect` on a hundred drawn plates until its table has a first row, and until
it ends, as the package chooses and with PyTorch. Seconds are medians with the extremes; ratios to
PyTorch are formed within a turn. The result goes into startup.json beside this file."""
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import cv2

from common import cpu_name, json_beside, make_parser, median_and_range, write_json
from defect_nbdev.core.cli import cpu_count
from defect_nbdev.datasets.synthetic import PAINTERS, make_steel

MODELS = 'neu-lite0','neu-resnet50'
ENGINES = 'auto','onnx','openvino','torch'
ANSWER = """
import json, resource, sys, time
start = time.perf_counter()
from defect_nbdev.inference.inspector import load_inspector
imported = time.perf_counter()
inspector = load_inspector({model!r}, engine={engine!r})
inspector({file!r}).overlay
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1024
print(json.dumps({{'import':imported-start, 'answered_by':type(inspector.engine).__name__,
                   'peak_mb':round(peak)}}))"""
INSPECT = """
import sys
sys.argv = ['defect_inspect', {folder!r}, '--model', {model!r}, '--engine', {engine!r},
            '--out', {out!r}]
from defect_nbdev.batch.run import defect_inspect
defect_inspect.cli()"""


def first_answer(model, engine, file):
    "Seconds from the start of a Python to its answer, and what it says of itself"
    code = ANSWER.format(model=model, engine=engine, file=str(file))
    start = time.perf_counter()
    ran = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    return {'seconds':time.perf_counter()-start, **json.loads(ran.stdout)}


def take_turns(model, file, turns):
    "engine -> medians over the turns"
    rows = {engine:[] for engine in ENGINES}
    for turn in range(turns+1):
        for engine in ENGINES:
            row = first_answer(model, engine, file)
            if turn: rows[engine].append(row)
    return {engine:summarise(own, rows['torch']) for engine,own in rows.items()}


def summarise(rows, with_torch):
    "What is told of an engine's turns"
    return {'answered_by':rows[0]['answered_by'],
            'seconds':median_and_range((row['seconds'] for row in rows), 2),
            'import_seconds':median_and_range((row['import'] for row in rows), 2),
            'peak_mb':median_and_range((row['peak_mb'] for row in rows), 0),
            'torch_takes':median_and_range(
                (other['seconds']/row['seconds'] for row,other in zip(rows, with_torch)), 2)}


def write_plates(folder, n=100):
    "Drawn plates of every class"
    labels = list(PAINTERS)[:6]
    for i in range(n):
        cv2.imwrite(str(folder/f'{i}.png'), make_steel(labels[i%6], size=200, seed=i).image)


def has_row(out):
    "Is there a first row?"
    if not (out/'results.db').is_file(): return False
    with closing(sqlite3.connect(f"file:{out/'results.db'}?mode=ro", uri=True)) as store:
        try: return bool(store.execute('SELECT count(*) FROM inspections').fetchone()[0])
        except sqlite3.OperationalError: return False # no table yet, or locked


def inspect(model, engine, folder, out):
    "(seconds to the first row, seconds to the end) of `defect_inspect`"
    code = INSPECT.format(folder=str(folder), model=model, engine=engine, out=str(out))
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.DEVNULL)
    first = None
    while process.poll() is None:
        if first is None and has_row(out): first = time.perf_counter()-start
        time.sleep(.02)
    return first, time.perf_counter()-start


def inspect_turns(model, folder, top, turns):
    "engine -> medians over the turns"
    rows = {'auto':[], 'torch':[]}
    for turn in range(turns):
        for engine,own in rows.items():
            own.append(inspect(model, engine, folder, top/f'{model}-{engine}-{turn}'))
    return {engine:{'first_row':median_and_range((first for first,_ in own), 2),
                    'end':median_and_range((end for _,end in own), 2)}
            for engine,own in rows.items()}


def main():
    parser = make_parser(__doc__)
    parser.add_argument('--turns', type=int, default=3)
    parser.add_argument('--out', default=json_beside(__file__))
    args = parser.parse_args()
    result = {'cpu':cpu_name(), 'cores':cpu_count(), 'turns':args.turns, 'models':{}}
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        folder = top/'plates'
        folder.mkdir()
        write_plates(folder)
        cv2.imwrite(str(top/'steel.jpg'), make_steel('Scratches', seed=1).image)
        for model in MODELS:
            answers = take_turns(model, top/'steel.jpg', args.turns)
            runs = inspect_turns(model, folder, top, args.turns)
            result['models'][model] = {'answer':answers, 'hundred_images':runs}
            print(model, json.dumps(result['models'][model], indent=1), flush=True)
    write_json(args.out, result)


if __name__=='__main__': main()

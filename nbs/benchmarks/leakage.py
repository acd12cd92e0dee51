"""Measures the search for overlapping crops: seconds, peak memory and what is found, into leakage.json beside this file.

    python nbs/benchmarks/leakage.py --data ../shared/neu-det     # about ten minutes on two cores

Every case runs in a process of its own, so that its peak memory is its own. Beside the seconds that passed stand
those that a processor worked, which other jobs on the machine disturb less.
"""
import argparse, json, os, platform, resource, subprocess, sys, time
from dataclasses import replace
from itertools import combinations
from multiprocessing import Pool
from pathlib import Path

import cv2
import numpy as np
import torch
from defect_nbdev.data import decode_images
from defect_nbdev.datasets.layouts import read_samples
from defect_nbdev.datasets.leakage import candidate_pairs, overlap_pairs, strip_groups
from defect_nbdev.datasets.synthetic import PAINTERS, make_steel

OUT, KINDS, PER, SIDE = Path(__file__).with_suffix('.json'), list(PAINTERS), 5, 200
CASES = {
    'neu-class': 'NEU within class, all pairs', 'neu-class-turned': 'NEU within class, all pairs, four turns',
    'neu-class-mirrored': 'NEU within class, mirrored, four turns',
    'neu-across': 'NEU across classes, all pairs', 'neu-across-index': 'NEU across classes, index',
    'neu-across-index-turned': 'NEU across classes, index, four turns', 'generated-index': 'generated crops, index',
}

def crops(number):
    "Crops of one generated strip as other lamps, sensors and files would have them, and their corners"
    strip = make_steel(KINDS[number%len(KINDS)], size=2*SIDE, seed=number//len(KINDS)).image.astype(np.float32)
    rng, out, at = np.random.default_rng(number), [], []
    for _ in range(PER):
        y, x = rng.integers(0, SIDE+1, 2); crop = strip[y:y+SIDE, x:x+SIDE]
        crop = (crop-128)*rng.uniform(.6, 1.3) + 128 + rng.uniform(-20, 20) + rng.normal(0, 2, crop.shape)
        jpeg = cv2.imencode('.jpg', crop.clip(0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
        out.append(cv2.imdecode(jpeg, cv2.IMREAD_GRAYSCALE)); at.append((y, x))
    return np.stack(out), at

def generated(n):
    "n crops, the strip of each, and for every two crops of one strip the share of an image that both show"
    images, at = np.empty((n, SIDE, SIDE), np.uint8), np.empty((n, 2), int)
    with Pool(2) as pool:
        for k, (cut, corners) in enumerate(pool.imap(crops, range(n//PER), chunksize=20)): images[k*PER:(k+1)*PER], at[k*PER:(k+1)*PER] = cut, corners
    shares = {(i, j): float(np.prod(np.maximum(0, SIDE-abs(at[i]-at[j])))/SIDE**2) for k in range(0, n, PER) for i, j in combinations(range(k, k+PER), 2)}
    return images, shares

def judged(found, candidates, shares):
    "Recall by the share that both show, and precision; a pair of one strip that shares less than a fifth counts neither way"
    edges, got, close = (.2, .25, .3, .4, .6, 1.01), {(o.i, o.j) for o in found}, set(map(tuple, candidates.tolist()))
    def recall(lo, hi, among):
        want = [p for p, share in shares.items() if lo<=share<hi]
        return round(sum(p in among for p in want)/len(want), 4)
    def precision(among): return round(sum(shares.get(p, 0)>0 for p in among)/len(among), 5)
    surer = {t: {(o.i, o.j) for o in found if o.agreement>t} for t in (.3, .35, .4, .45)}
    strangers = [KINDS[o.i//PER%len(KINDS)] for o in found if not shares.get((o.i, o.j))]
    return dict(overlaps=sum(s>=.2 for s in shares.values()), recall=recall(.2, 2, got), recall_of_candidates=recall(.2, 2, close), precision=precision(got), strangers={k: strangers.count(k) for k in KINDS},
                by_threshold={t: dict(recall=recall(.2, 2, g), precision=precision(g)) for t, g in surer.items()},
                recall_by_share={f'{lo:.2f} to {min(hi, 1):.2f}': recall(lo, hi, got) for lo, hi in zip(edges, edges[1:])})

def counted(found, labels):
    ends = np.array([(o.i, o.j) for o in found], int).reshape(-1, 2); groups = strip_groups(len(labels), found)
    return dict(with_twin=len(np.unique(ends)), groups=int(groups.max())+1, across=int((labels[ends[:, 0]]!=labels[ends[:, 1]]).sum()),
                by_turn={t: sum(o.turn==t for o in found) for t in sorted({o.turn for o in found})}, weakest=round(min((o.agreement for o in found), default=0), 2))

def case(name, data, n):
    "One measurement, as a dict"
    neu, index, turns = name.startswith('neu'), 'index' in name, (0, 1, 2, 3) if name.endswith('ed') else (0,)
    if neu: used, images = decode_images(read_samples(data), SIDE); labels = np.array([s.label for s in used])
    else: images, shares = generated(n)
    pairs, n = None, len(images)
    if 'mirrored' in name:
        i, j = np.nonzero(np.triu(labels[:, None]==labels, 1)); pairs = np.stack([i, j+n], 1)
        images, labels = [*images, *(im[:, ::-1] for im in images)], np.tile(labels, 2)
    start, worked, load = time.perf_counter(), time.process_time(), os.getloadavg()[0]
    if index: pairs = candidate_pairs(images, turns=turns)
    split = time.perf_counter()
    found = overlap_pairs(images, labels if 'class' in name and 'across' not in name else None, pairs=pairs, turns=turns)
    if 'mirrored' in name: found, labels = [replace(o, j=o.j-n) for o in found], labels[:n]
    end, row = time.perf_counter(), dict(name=name, what=CASES[name], images=n)
    if index: row |= dict(candidates=len(pairs), seconds_index=round(split-start, 1), seconds_check=round(end-split, 1))
    row |= dict(pairs=len(found), seconds=round(end-start, 1), cpu_seconds=round(time.process_time()-worked, 1), peak_mib=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1024),
                load_before=round(load, 1), load_after=round(os.getloadavg()[0], 1))
    return row | (counted(found, labels) if neu else judged(found, pairs, shares))

def machine():
    lines = Path('/proc/cpuinfo').read_text().splitlines() if Path('/proc/cpuinfo').exists() else []
    cpu = next((l.split(':')[1].strip() for l in lines if l.startswith('model name')), platform.processor())
    return dict(cpu=cpu, cores=os.cpu_count(), threads=torch.get_num_threads(), python=platform.python_version(), torch=torch.__version__, numpy=np.__version__, opencv=cv2.__version__)

def main():
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument('--data', default='../shared/neu-det', help='folder of NEU-DET'); ask.add_argument('--images', type=int, default=20_000, help='generated crops')
    ask.add_argument('--only', nargs='*', choices=CASES, help='some cases; the others stay as they are in the file'); ask.add_argument('--case', choices=CASES, help=argparse.SUPPRESS)
    a = ask.parse_args()
    if a.case: return print(json.dumps(case(a.case, a.data, a.images)))
    rows = {r['name']: r for r in json.loads(OUT.read_text())['cases']} if a.only and OUT.exists() else {}
    for name in a.only or CASES:
        if name.startswith('neu') and not Path(a.data).is_dir(): print(f'{name}: skipped, {a.data} is no folder'); continue
        done = subprocess.run([sys.executable, __file__, '--case', name, '--data', a.data, '--images', str(a.images)], stdout=subprocess.PIPE, text=True, check=True)
        rows[name] = json.loads(done.stdout.splitlines()[-1]); print(rows[name], flush=True)
        OUT.write_text(json.dumps(dict(machine=machine(), cases=[rows[c] for c in CASES if c in rows]), indent=1)+'\n')

if __name__=='__main__': main()

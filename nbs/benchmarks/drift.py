"""How often the drift alarm is false, and after how many shifts it notices what drifts.

    python nbs/benchmarks/drift.py --data ../shared/neu-det

*False alarms*: shifts of numbers drawn from the same distribution as the reference's, six things compared in each; beside our line the rule of
thumb alone. *Drift*: reference and shifts come from different images; a shift is n images drawn without replacement from its pool, every run
draws anew. The lamp loses 1% of its light a shift. On the lens a film grows: 1% of the contrast and a blur of 0.04 pixels (standard deviation,
at 200 pixels) a shift. In the mix, one class takes 2 more points of a hundred a shift. The new surface is clean generated steel, which
none of the six classes is; it takes 2 more points of a hundred a shift, and the network answers it. A shift that alarms before anything drifts
would count as notice: the control says how often that happens. The network is neu-lite0; lamp and lens are measured on the images alone. Of NEU, light and focus are compared between random halves of all
images, answers between random halves of those that judged the network; *other metal* compares the judging images with those it learned from, which
show other pieces of metal."""
import argparse, json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np

from defect_nbdev.datasets.layouts import NEU_CLASSES, read_samples
from defect_nbdev.core.images import read_image, to_rgb
from defect_nbdev.core.files import write_text
from defect_nbdev.monitoring.reference import FALSE_ALARMS, MEASURES, MIX, Table, fit_reference
from defect_nbdev.monitoring.drift import compare
from defect_nbdev.inference.inspector import load_inspector
from defect_nbdev.datasets.quality import measure
from defect_nbdev.datasets.splits import known_parts, read_manifest
from defect_nbdev.datasets.synthetic import make_steel

LIGHT = MEASURES[:3]

def table(values, labels=None):
    n = len(next(iter(values.values()))); v = {k:np.asarray(values.get(k, np.full(n, np.nan)), float) for k in MEASURES}
    return Table(np.full(n, np.nan), np.array([''] *n if labels is None else list(labels), object), v)

def drawn(n, rng): return table({k:rng.normal(size=n) for k in MEASURES}, rng.choice(NEU_CLASSES, n))

def false_alarms(shifts, seed=0):
    rng,rows = np.random.default_rng(seed),[]
    for m in (300, 1300):
        for n in (30, 50, 100, 200, 500, 1000):
            ours = thumb = 0
            for k in range(shifts):
                if k%20==0: ref = fit_reference(drawn(m, rng))          # a reference's own luck counts too
                f = compare(ref, drawn(n, rng)); ours += any(x.alarm for x in f); thumb += any(x.psi>.25 for x in f)
            rows.append({'training':m, 'images':n, 'ours':ours/shifts, 'rule_of_thumb':thumb/shifts}); print(rows[-1], flush=True)
    return rows

def answered(inspector, images): return [p.record() for _,p in inspector.stream(images)]

def light(images): q = [measure(i) for i in images]; return {k:np.array([getattr(x, k) for x in q]) for k in LIGHT}

def lamp(im, k): return np.clip(np.round(im*(1-.01*k)), 0, 255).astype(np.uint8)

def lens(im, k):
    if not k: return im
    mean = im.mean(); return cv2.GaussianBlur(np.clip(np.round((im-mean)*(1-.01*k)+mean), 0, 255).astype(np.uint8), (0,0), .04*k)

def first(ref, shift, n, steps, runs, rng):
    "Over runs: the first shift that alarms, that of Kolmogorov and Smirnov at the same share of false alarms, and in what"
    found,sharp,whats = [],[],{}
    for _ in range(runs):
        a = s = None
        for k in range(steps):
            f = compare(ref, shift(k, n, rng))
            if s is None and any(x.p<FALSE_ALARMS/len(f) for x in f): s = k
            if a is None and any(x.alarm for x in f): a = k; whats.update({x.what:whats.get(x.what, 0)+1 for x in f if x.alarm})
            if None not in (a, s): break
        found.append(a); sharp.append(s)
    def told(v): had = [x for x in v if x is not None]; return {'noticed':len(had), **({q:float(np.quantile(had, p)) for q,p in (('median', .5), ('least', 0), ('most', 1))} if had else {})}
    return {'images':n, 'runs':runs, 'steps':steps, **told(found), 'in':whats, 'ks':told(sharp)}

def control(ref, shift, times):
    "Alarms without drift, and in what"
    found = [[x.what for x in compare(ref, shift()) if x.alarm] for _ in range(times)]
    return {'shifts':times, 'alarms':sum(map(bool, found)), 'in':dict(Counter(w for f in found for w in f))}

def experiments(name, ref_light, ref_answers, pool, answers, new, o):
    "pool: images the light's reference has not seen; answers: records the answers' reference has not seen; new: records of clean steel"
    rng = np.random.default_rng(0); y = np.array([r['label'] for r in answers]); out = {}
    ways = {'lamp':lamp, 'lens':lens}; curves = {w:[light([f(i, k) for i in pool]) for k in range(o.steps)] for w,f in ways.items()}
    pick = lambda n, rng, of=pool: rng.choice(len(of), n, replace=False)
    of = lambda rows, *keys: table({k:[r[k] for r in rows] for k in keys}, [r['label'] for r in rows])
    def way(w): return lambda k, n, rng: (lambda i: table({m:curves[w][k][m][i] for m in LIGHT}))(pick(n, rng))
    def mixed(k, n, rng):
        p = np.where(y==NEU_CLASSES[-1], 1., 0.); share = 1/6+.02*k; p = p/p.sum()*share + (1-p)/(1-p).sum()*(1-share); return of([answers[i] for i in rng.choice(len(y), n, p=p)], *MEASURES)
    def fresh(k, n, rng): new_n = rng.binomial(n, min(1, .02*k)); return of([answers[i] for i in pick(n-new_n, rng, answers)] + [new[i] for i in rng.choice(len(new), new_n)], *MEASURES)
    for n in o.images:
        out[n] = {'control light':control(ref_light, lambda: way('lamp')(0, n, rng), o.control), **{w:first(ref_light, way(w), n, o.steps, o.runs, rng) for w in ways}}
        if n<=len(answers): out[n].update({'control':control(ref_answers, lambda: of([answers[i] for i in pick(n, rng, answers)], *MEASURES), o.control), 'mix':first(ref_answers, mixed, n, o.steps, o.runs, rng), 'new surface':first(ref_answers, fresh, n, o.steps, o.runs, rng)})
        print(name, n, json.dumps(out[n]), flush=True)
    trace = {w:{m:[round(next(f.psi for f in compare(ref_light, way(w)(k, 100, rng)) if f.what==m), 4) for k in range(o.steps)] for m in LIGHT} for w in ways}      # of shifts of 100
    return {'pool':len(pool), 'answers':len(answers), 'shifts':out, 'psi':trace}

def generated(inspector, o):
    make = lambda seeds, classes=NEU_CLASSES: [to_rgb(make_steel(c, 200, s).image) for s in seeds for c in classes]
    ref,pool = make(range(o.pool)),make(range(1000, 1000+o.pool)); new = answered(inspector, make(range(60), ('Clean',))); a,b = answered(inspector, ref),answered(inspector, pool); print('answered', flush=True)
    whole = fit_reference(table({k:[r[k] for r in a] for k in MEASURES}, [r['label'] for r in a])); return experiments('generated', fit_reference(table(light(ref))), whole, pool, b, new, o)

def neu(inspector, data, o):
    parts = known_parts(read_manifest(Path(__file__).parents[2]/'defect_nbdev/weights/neu-lite0/split.json'), read_samples(data)); seen,judged = ([read_image(s.path) for s in parts.part(p)] for p in ('train', 'validation'))
    a = answered(inspector, judged); new = answered(inspector, [to_rgb(make_steel('Clean', 200, s).image) for s in range(60)]); print('answered', flush=True)
    rng = np.random.default_rng(1); order,half = rng.permutation(len(judged)),len(judged)//2; all_ = seen+judged; mixed = rng.permutation(len(all_)); known = [a[i] for i in order[:half]]
    whole = fit_reference(table({k:[r[k] for r in known] for k in MEASURES}, [r['label'] for r in known]))
    out = experiments('NEU', fit_reference(table(light([all_[i] for i in mixed[:len(all_)//2]]))), whole, [all_[i] for i in mixed[len(all_)//2:]], [a[i] for i in order[half:]], new, o)
    by_seen,other = fit_reference(table(light(seen))),light(judged); pick = lambda n: table({k:v[i] for i in [rng.choice(len(judged), n, replace=False)] for k,v in other.items()})
    return {**out, 'other metal':{n:control(by_seen, lambda: pick(n), o.control) for n in o.images if n<=len(judged)}}

def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0]); p.add_argument('--data'); p.add_argument('--shifts', type=int, default=1000); p.add_argument('--pool', type=int, default=100, help='images of each class in the reference, and in the pool')
    p.add_argument('--steps', type=int, default=41); p.add_argument('--runs', type=int, default=20); p.add_argument('--control', type=int, default=300); p.add_argument('--images', type=int, nargs='+', default=[50, 100, 200]); p.add_argument('--out', default=str(Path(__file__).with_suffix('.json')))
    p.add_argument('--only', nargs='+', default=['false_alarms', 'generated', 'neu'], help='measure these again and keep the rest of the file')
    o = p.parse_args(); inspector = load_inspector('neu-lite0'); out = json.loads(Path(o.out).read_text()) if Path(o.out).is_file() else {}
    if 'false_alarms' in o.only: out['false_alarms'] = {'shifts':o.shifts, 'rows':false_alarms(o.shifts)}
    if 'generated' in o.only: out['generated'] = generated(inspector, o)
    if 'neu' in o.only and o.data: out['neu'] = neu(inspector, o.data, o)
    write_text(o.out, json.dumps(out, indent=1) + '\n')

if __name__=='__main__': main()

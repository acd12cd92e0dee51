"""How often the drift alarm is false, and after how many shifts it notices what drifts.

    python nbs/benchmarks/drift.py --data ../shared/neu-det

*False alarms*: shifts of numbers drawn from the same distribution as the reference's, six things
compared in each; beside our line the rule of thumb alone. *Drift*: reference and shifts come from
different images; a shift is n images drawn without replacement from its pool, every run draws
anew. The lamp loses 1% of its light a shift. On the lens a film grows: 1% of the contrast and a
blur of 0.04 pixels (standard deviation, at 200 pixels) a shift. In the mix, one class takes 2 more
points of a hundred a shift. The new surface is clean generated steel, which none of the six
classes is; it takes 2 more points of a hundred a shift, and the network answers it. A shift that
alarms before anything drifts would count as notice: the control says how often that happens. The
network is neu-lite0; lamp and lens are measured on the images alone. Of NEU, light and focus are
compared between random halves of all images, answers between random halves of those that judged
the network; *other metal* compares the judging images with those it learned from, which show other
pieces of metal."""
import json
from collections import Counter
from typing import NamedTuple

import cv2
import numpy as np

from common import json_beside, make_parser, read_json, write_json
from defect_nbdev.core.files import project_path
from defect_nbdev.core.images import read_image, to_rgb
from defect_nbdev.datasets.layouts import NEU_CLASSES, read_samples
from defect_nbdev.datasets.quality import measure
from defect_nbdev.datasets.splits import known_parts, read_manifest
from defect_nbdev.datasets.synthetic import make_steel
from defect_nbdev.inference.inspector import load_inspector
from defect_nbdev.monitoring.drift import compare
from defect_nbdev.monitoring.reference import (
    ACT, FALSE_ALARMS, MEASURES, Reference, Table, fit_reference,
)

LIGHT_MEASURES = MEASURES[:3]


def make_table(values, labels=None):
    "A Table from some measures; NaN for the others"
    n = len(next(iter(values.values())))
    unknown = np.full(n, np.nan)
    columns = {name:np.asarray(values.get(name, unknown), float) for name in MEASURES}
    labels = ['']*n if labels is None else list(labels)
    return Table(unknown, np.array(labels, object), columns, np.ones(len(labels), int))


def records_table(records):
    "A Table from an inspector's records"
    values = {name:[record[name] for record in records] for name in MEASURES}
    return make_table(values, [record['label'] for record in records])


def random_table(n, rng):
    "A shift of numbers from one distribution"
    return make_table({name:rng.normal(size=n) for name in MEASURES}, rng.choice(NEU_CLASSES, n))


def count_false_alarms(n_training, n, shifts, rng):
    "Shares of shifts without drift that alarm, by our line and by the rule of thumb"
    ours = thumb = 0
    for k in range(shifts):
        if k%20==0: # a reference's own luck counts too
            reference = fit_reference(random_table(n_training, rng))
        findings = compare(reference, random_table(n, rng))
        ours += any(finding.alarm for finding in findings)
        thumb += any(finding.psi>ACT for finding in findings)
    return {'training':n_training, 'images':n, 'ours':ours/shifts, 'rule_of_thumb':thumb/shifts}


def measure_false_alarms(shifts, seed=0):
    "False alarms for sizes of training and shift"
    rng,rows = np.random.default_rng(seed),[]
    for n_training in (300, 1300):
        for n in (30, 50, 100, 200, 500, 1000):
            rows.append(count_false_alarms(n_training, n, shifts, rng))
            print(rows[-1], flush=True)
    return rows


def predict(inspector, images):
    "Records of images"
    return [prediction.record() for _,prediction in inspector.stream(images)]


def measure_light(images):
    "Brightness, contrast and sharpness of images, arrays"
    found = [measure(image) for image in images]
    return {name:np.array([getattr(q, name) for q in found]) for name in LIGHT_MEASURES}


def to_pixels(values):
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def dim_lamp(image, k):
    "1% less light a shift"
    return to_pixels(image*(1-.01*k))


def cloud_lens(image, k):
    "1% less contrast and a blur of 0.04 pixels more a shift"
    if not k: return image
    mean = image.mean()
    return cv2.GaussianBlur(to_pixels((image-mean)*(1-.01*k) + mean), (0,0), .04*k)


LIGHT_DRIFTS = {'lamp':dim_lamp, 'lens':cloud_lens}


def find_notice(reference, make_shift, n, steps, rng):
    "First alarming shift of one run, first one by Kolmogorov and Smirnov, and the alarms' names"
    first = first_ks = None
    names = []
    for k in range(steps):
        findings = compare(reference, make_shift(k, n, rng))
        if first_ks is None and any(f.p<FALSE_ALARMS/len(findings) for f in findings):
            first_ks = k
        if first is None and any(f.alarm for f in findings):
            first,names = k,[f.what for f in findings if f.alarm]
        if None not in (first, first_ks): break
    return first, first_ks, names


def summarise_notices(notices):
    "How many runs noticed, and after how many shifts"
    noticed = [k for k in notices if k is not None]
    quantiles = {'median':.5, 'least':0, 'most':1} if noticed else {}
    return {'noticed':len(noticed),
            **{name:float(np.quantile(noticed, share)) for name,share in quantiles.items()}}


def measure_notice(reference, make_shift, n, args, rng):
    "Over runs: the first shift that alarms, by our line and by Kolmogorov and Smirnov, and in what"
    runs = [find_notice(reference, make_shift, n, args.steps, rng) for _ in range(args.runs)]
    first,first_ks,names = zip(*runs)
    counts = Counter(name for run in names for name in run)
    return {'images':n, 'runs':args.runs, 'steps':args.steps, **summarise_notices(first),
            'in':dict(counts), 'ks':summarise_notices(first_ks)}


def measure_control(reference, make_shift, times):
    "Alarms without drift, and in what"
    found = [[f.what for f in compare(reference, make_shift()) if f.alarm] for _ in range(times)]
    counts = Counter(name for names in found for name in names)
    return {'shifts':times, 'alarms':sum(map(bool, found)), 'in':dict(counts)}


def choose(items, n, rng):
    "n places of a list, without replacement"
    return rng.choice(len(items), n, replace=False)


class Experiment(NamedTuple):
    "What drifts, and what it is compared with"
    name:str # for people
    light_reference:Reference # of images that are not in the pool
    reference:Reference # of answers that are not among the records
    pool:list # images whose light and focus drift
    records:list # answers whose mix drifts
    new_records:list # answers for clean steel, the new surface


def light_curves(pool, steps):
    "drift -> light and focus of the whole pool at each shift"
    return {name:[measure_light([change(image, k) for image in pool]) for k in range(steps)]
            for name,change in LIGHT_DRIFTS.items()}


def light_shifts(pool, curve):
    "A function that draws the k-th shift of a lamp or a lens"
    def make_shift(k, n, rng):
        chosen = choose(pool, n, rng)
        return make_table({name:curve[k][name][chosen] for name in LIGHT_MEASURES})
    return make_shift


def mix_shifts(records):
    "A function that draws the k-th shift of a mix in which the last class takes over"
    is_last = np.array([record['label'] for record in records])==NEU_CLASSES[-1]
    def make_shift(k, n, rng):
        last,others = is_last.astype(float),(~is_last).astype(float)
        share = 1/6 + .02*k
        weights = last/last.sum()*share + others/others.sum()*(1-share)
        return records_table([records[i] for i in rng.choice(len(records), n, p=weights)])
    return make_shift


def surface_shifts(records, new_records):
    "A function that draws the k-th shift in which a new surface takes over"
    def make_shift(k, n, rng):
        n_new = rng.binomial(n, min(1, .02*k))
        known = [records[i] for i in choose(records, n-n_new, rng)]
        new = [new_records[i] for i in rng.choice(len(new_records), n_new)]
        return records_table(known+new)
    return make_shift


def measure_light_drift(experiment, shifts, n, args, rng):
    "Lamp and lens, and the control, for shifts of n images"
    reference = experiment.light_reference
    control = measure_control(reference, lambda: shifts['lamp'](0, n, rng), args.control)
    found = {'control light':control}
    for name,make_shift in shifts.items():
        found[name] = measure_notice(reference, make_shift, n, args, rng)
    return found


def measure_answer_drift(experiment, n, args, rng):
    "Mix and new surface, and the control, for shifts of n images"
    reference,records = experiment.reference,experiment.records
    def without_drift():
        return records_table([records[i] for i in choose(records, n, rng)])
    mix,surface = mix_shifts(records),surface_shifts(records, experiment.new_records)
    return {'control':measure_control(reference, without_drift, args.control),
            'mix':measure_notice(reference, mix, n, args, rng),
            'new surface':measure_notice(reference, surface, n, args, rng)}


def trace_psi(reference, shifts, steps, rng):
    "drift -> measure -> PSI at each step, of shifts of 100 images"
    def psi(make_shift, measure_name, k):
        findings = compare(reference, make_shift(k, 100, rng))
        return round(next(f.psi for f in findings if f.what==measure_name), 4)
    return {name:{m:[psi(make_shift, m, k) for k in range(steps)] for m in LIGHT_MEASURES}
            for name,make_shift in shifts.items()}


def run_experiment(experiment, args):
    "All drifts, for each size of a shift"
    rng,found = np.random.default_rng(0),{}
    pool,records = experiment.pool,experiment.records
    curves = light_curves(pool, args.steps)
    shifts = {name:light_shifts(pool, curve) for name,curve in curves.items()}
    for n in args.images:
        found[n] = measure_light_drift(experiment, shifts, n, args, rng)
        if n<=len(records):
            found[n].update(measure_answer_drift(experiment, n, args, rng))
        print(experiment.name, n, json.dumps(found[n]), flush=True)
    psi = trace_psi(experiment.light_reference, shifts, args.steps, rng)
    return {'pool':len(pool), 'answers':len(records), 'shifts':found, 'psi':psi}


def make_images(seeds, classes=NEU_CLASSES):
    return [to_rgb(make_steel(label, 200, seed).image) for seed in seeds for label in classes]


def predict_clean_steel(inspector):
    return predict(inspector, make_images(range(60), ('Clean',)))


def measure_generated(inspector, args):
    "Drift of generated images"
    usual,pool = make_images(range(args.pool)),make_images(range(1000, 1000+args.pool))
    new_records = predict_clean_steel(inspector)
    usual_records,records = predict(inspector, usual),predict(inspector, pool)
    print('answered', flush=True)
    return run_experiment(Experiment(
        'generated', fit_reference(make_table(measure_light(usual))),
        fit_reference(records_table(usual_records)), pool, records, new_records), args)


def measure_other_metal(learned, judged, args, rng):
    "Alarms when the judging images are compared with those that were learned from"
    reference = fit_reference(make_table(measure_light(learned)))
    light = measure_light(judged)
    def draw(n):
        chosen = choose(judged, n, rng)
        return make_table({name:values[chosen] for name,values in light.items()})
    return {n:measure_control(reference, lambda n=n: draw(n), args.control)
            for n in args.images if n<=len(judged)}


def measure_neu(inspector, data, args):
    "Drift of NEU's images"
    manifest = read_manifest(project_path('defect_nbdev/weights/neu-lite0/split.json'))
    samples = known_parts(manifest, read_samples(data))
    learned,judged = ([read_image(sample.path) for sample in samples.part(part)]
                      for part in ('train', 'validation'))
    records,new_records = predict(inspector, judged),predict_clean_steel(inspector)
    print('answered', flush=True)
    rng,images = np.random.default_rng(1),learned+judged
    order,half = rng.permutation(len(judged)),len(judged)//2
    mixed,middle = rng.permutation(len(images)),len(images)//2
    usual_light = measure_light([images[i] for i in mixed[:middle]])
    usual_records = [records[i] for i in order[:half]]
    found = run_experiment(Experiment(
        'NEU', fit_reference(make_table(usual_light)), fit_reference(records_table(usual_records)),
        [images[i] for i in mixed[middle:]], [records[i] for i in order[half:]], new_records), args)
    return {**found, 'other metal':measure_other_metal(learned, judged, args, rng)}


def parse_args():
    parser = make_parser(__doc__)
    parser.add_argument('--data')
    parser.add_argument('--shifts', type=int, default=1000)
    parser.add_argument('--pool', type=int, default=100,
                        help='images of each class in the reference, and in the pool')
    parser.add_argument('--steps', type=int, default=41)
    parser.add_argument('--runs', type=int, default=20)
    parser.add_argument('--control', type=int, default=300)
    parser.add_argument('--images', type=int, nargs='+', default=[50, 100, 200])
    parser.add_argument('--out', default=json_beside(__file__))
    parser.add_argument('--only', nargs='+', default=['false_alarms', 'generated', 'neu'],
                        help='measure these again and keep the rest of the file')
    return parser.parse_args()


def main():
    args = parse_args()
    inspector = load_inspector('neu-lite0')
    results = read_json(args.out, {})
    if 'false_alarms' in args.only:
        rows = measure_false_alarms(args.shifts)
        results['false_alarms'] = {'shifts':args.shifts, 'rows':rows}
    if 'generated' in args.only:
        results['generated'] = measure_generated(inspector, args)
    if 'neu' in args.only and args.data:
        results['neu'] = measure_neu(inspector, args.data, args)
    write_json(args.out, results)


if __name__=='__main__': main()

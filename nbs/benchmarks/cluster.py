"""What dealing an inspection out to Ray workers costs, and from it what a million images cost.

    pip install -e ".[ray,onnx]" && python nbs/benchmarks/cluster.py

The same generated images (200×200 px, JPEG) through the same exported neu-lite0, one thread each:
in one process as on a laptop, and by two workers of a local Ray cluster. They take turns. Counted
are seconds, and seconds of processor time of everything that belongs to a way, Ray's own processes
included; the latter hardly depends on who else uses the machine, the former does. Start-up (Ray,
workers, models) is kept apart: of the cluster only the second half of the images counts, when all
workers are up for certain. The store is written in both; what the first machine of a cluster does
alone, listing files, noting rows and making the table, is timed for itself.

*A million images* is arithmetic: processor time an image and what the first machine does alone,
measured here; a price, the use of the cores and their speed, assumed."""
import json
import platform
import tempfile
import time
from pathlib import Path
from statistics import median

import psutil
from PIL import Image

import defect_nbdev
from common import json_beside, make_parser, package_versions, write_json
from defect_nbdev.batch.cluster import (
    RunSetup, append_block, load_model_files, predict_on_workers, ray_cluster, read_model_files,
)
from defect_nbdev.batch.results import Results
from defect_nbdev.batch.run import inspect_files
from defect_nbdev.batch.urls import list_inputs
from defect_nbdev.core.cli import cpu_count
from defect_nbdev.datasets.layouts import NEU_CLASSES
from defect_nbdev.datasets.synthetic import make_steel
from defect_nbdev.inference.export import export_model
from defect_nbdev.inference.torch_engine import load_torch_engine


def processor_seconds():
    "pid -> (kind, processor seconds) of this process and of all below it that live"
    times,own = {},psutil.Process()
    for process in (own, *own.children(recursive=True)):
        try:
            used = process.cpu_times()
            name = (process.cmdline() or [''])[0]
        except psutil.Error:
            continue
        kind = 'worker' if 'MapWorker' in name else 'rest'
        times[process.pid] = kind, used.user+used.system
    return times


def difference(before, after):
    "Processor seconds between two measurements, by kind"
    spent = {'worker':0., 'rest':0.}
    for pid,(kind,seconds) in after.items():
        spent[kind] += seconds-before.get(pid, (kind, 0))[1]
    return {kind:round(seconds, 3) for kind,seconds in spent.items()}


class Progress:
    "In the place of a progress bar: what was spent each time that rows came, while workers live"
    def __init__(self):
        self.updates,self.n,self.own_seconds = [],0,0.

    def update(self, n):
        start = time.thread_time()
        self.n += n
        self.updates.append((time.perf_counter(), processor_seconds(), self.n))
        self.own_seconds += time.thread_time()-start

    def clear(self): pass


def inspect_alone(model, folder, out):
    "In one process"
    files = read_model_files(model)
    start = time.perf_counter()
    inspector = load_model_files(files, 1)
    start_s = time.perf_counter()-start
    before,start = processor_seconds(),time.perf_counter()
    with Results(inspector, out) as results:
        n = inspect_files(results, [folder])
        seconds = time.perf_counter()-start
        cpu_s = difference(before, processor_seconds())['rest']
        results.finish('parquet')
    return dict(start_s=start_s, images=n, s=seconds, cpu_s=cpu_s)


class Stopwatch:
    "Processor seconds of this thread in named steps"
    def __init__(self):
        self.seconds,self.start = {},time.thread_time()

    def lap(self, name):
        now = time.thread_time()
        self.seconds[name] = now-self.start
        self.start = now


def inspect_on_workers(model, folder, out, workers):
    "By the workers of a local Ray cluster"
    files,progress = read_model_files(model),Progress()
    inspector = load_model_files(files, 1)
    engine = inspector.engine
    start = time.perf_counter()
    with Results(inspector, out) as results, ray_cluster(workers, 1) as (ray, n, threads):
        up,before = time.perf_counter(),processor_seconds()
        watch = Stopwatch()
        inputs = list(list_inputs([folder]))
        watch.lap('list')
        setup = RunSetup(defect_nbdev.__version__, engine.model_hash, engine.preprocess_hash,
                         threads, batch=8, readers=2)
        for block in predict_on_workers(ray, inputs, ray.put(files), setup, n):
            append_block(results, inputs, block, print, progress)
        watch.lap('note')
        results.finish('parquet')
        watch.lap('table')
    watch.seconds['note'] -= progress.own_seconds
    updates = progress.updates
    half_time,half,first_images = updates[len(updates)//2]
    end_time,end,_ = updates[-1]
    spent = difference(half, end)
    return dict(
        start_s=up-start, models_s=updates[0][0]-up, images=progress.n-first_images,
        s=end_time-half_time, worker_cpu_s=spent['worker'], rest_cpu_s=spent['rest'],
        start_cpu_s=difference(before, half),
        first_machine_us={k:round(1e6*v/len(inputs), 1) for k,v in watch.seconds.items()})


def cost_of_a_million(summary, alone_us, args, machines=(1, 4, 16)):
    "What workers share, and what the first machine does alone before and after, by arithmetic"
    # 1e6 images at 1 µs are 1 s
    core_hours = 1e3*(summary['worker_cpu_ms']+summary['rest_cpu_ms'])/3600
    alone_s = (alone_us['list'] + alone_us['table'] + summary['ray_start_s']
               + summary['workers_start_s'])

    def minutes(n): # no faster than rows are written
        shared_s = max(3600*core_hours/args.use/args.cores/n, alone_us['note'])
        return round((shared_s+alone_s)/60, 1)

    return {'core_hours':round(core_hours, 2), 'price_per_core_hour_assumed':args.price,
            'cores_in_use_assumed':args.use, 'cost':round(core_hours/args.use*args.price, 2),
            'cores_per_machine':args.cores, 'first_machine_alone_s':round(alone_s),
            'minutes':{str(n):minutes(n) for n in machines},
            'rows_per_s_at_most':round(1e6/alone_us['note'])}


def write_images(folder, n):
    "Generated images as JPEG files"
    folder.mkdir()
    for k in range(n):
        image = make_steel(NEU_CLASSES[k%6], seed=k).image
        Image.fromarray(image).save(folder/f'coil_{k}.jpg', quality=95)


def run_round(model, steel, folder, r, workers):
    "Both ways, one after the other"
    single = inspect_alone(model, steel, folder/f's{r}')
    cluster = inspect_on_workers(model, steel, folder/f'c{r}', workers)
    single_ms = 1e3*single['cpu_s']/single['images']
    cluster_ms = 1e3*(cluster['worker_cpu_s']+cluster['rest_cpu_s'])/cluster['images']
    print(f"round {r}: one process {single['images']/single['s']:.1f}/s, "
          f"{workers} workers {cluster['images']/cluster['s']:.1f}/s; "
          f'processor time an image {single_ms:.1f} ms and {cluster_ms:.1f} ms', flush=True)
    return {'single':single, 'cluster':cluster}


def summarise(rounds):
    "Medians over the rounds: (of both ways, of what the first machine does alone)"
    def middle(measure):
        return round(median(measure(r['single'], r['cluster']) for r in rounds), 5)

    summary = {
        'single_cpu_ms':1e3*middle(lambda s, c: s['cpu_s']/s['images']),
        'worker_cpu_ms':1e3*middle(lambda s, c: c['worker_cpu_s']/c['images']),
        'rest_cpu_ms':1e3*middle(lambda s, c: c['rest_cpu_s']/c['images']),
        'throughput_ratio':middle(lambda s, c: c['images']/c['s']/(s['images']/s['s'])),
        'single_images_per_s':middle(lambda s, c: s['images']/s['s']),
        'cluster_images_per_s':middle(lambda s, c: c['images']/c['s']),
        'ray_start_s':middle(lambda s, c: c['start_s']),
        'workers_start_s':middle(lambda s, c: c['models_s']),
        'single_cores_busy':middle(lambda s, c: s['cpu_s']/s['s']),
        'cluster_cores_busy':middle(lambda s, c: (c['worker_cpu_s']+c['rest_cpu_s'])/c['s'])}
    alone_us = {name:middle(lambda s, c, name=name: c['first_machine_us'][name])
                for name in ('list', 'note', 'table')}
    return {name:round(value, 3) for name,value in summary.items()},alone_us


def parse_args():
    parser = make_parser(__doc__)
    parser.add_argument('--images', type=int, default=1500)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument('--price', type=float, default=.05,
                        help='an hour of a vCPU, in your currency; an assumption')
    parser.add_argument('--use', type=float, default=.8,
                        help='share of the cores that is kept busy; an assumption')
    parser.add_argument('--cores', type=int, default=16, help='of each machine')
    parser.add_argument('--out', default=json_beside(__file__))
    return parser.parse_args()


def main():
    args = parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model,steel = folder/'lite.onnx',folder/'steel'
        export_model(load_torch_engine('neu-lite0', 'cpu'), model)
        write_images(steel, args.images)
        rounds = [run_round(model, steel, folder, r, args.workers) for r in range(args.rounds)]
    summary,alone_us = summarise(rounds)
    for key,value in {**summary, **{f'{k}_us':v for k,v in alone_us.items()}}.items():
        print(f'{key:22} {value:9.3f}')
    million = cost_of_a_million(summary, alone_us, args)
    write_json(args.out, {
        'machine':platform.machine(), 'cores':cpu_count(),
        'versions':package_versions('ray', 'onnxruntime', 'pyarrow'), 'model':'neu-lite0',
        'engine':'ONNX Runtime', 'images':args.images, 'workers':args.workers, 'rounds':rounds,
        'summary':summary, 'first_machine_us':alone_us, 'million':million})
    print(json.dumps(million, indent=1))


if __name__=='__main__': main()

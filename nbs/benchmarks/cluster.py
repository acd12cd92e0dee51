"""What dealing an inspection out to Ray workers costs, and from it what a million images cost.

    pip install -e ".[ray,onnx]" && python nbs/benchmarks/cluster.py

The same generated images (200×200 px, JPEG) through the same exported neu-lite0, one thread each: in one process as on a laptop, and by two
workers of a local Ray cluster. They take turns. Counted are seconds, and seconds of processor time of everything that belongs to a way,
Ray's own processes included; the latter hardly depends on who else uses the machine, the former does. Start-up (Ray, workers, models) is kept
apart: of the cluster only the second half of the images counts, when all workers are up for certain. The store is written in both;
what the first machine of a cluster does alone, listing files, noting rows and making the table, is timed for itself.

*A million images* is arithmetic: processor time an image and what the first machine does alone, measured here; a price, the use of the cores and their speed, assumed."""
import argparse, json, os, platform, tempfile, time
from importlib.metadata import version
from pathlib import Path
from statistics import median

import psutil
from PIL import Image

from defect_nbdev.batch.cluster import _Setup, _deal, _noted, cluster, listed, packed, unpacked
from defect_nbdev.datasets.layouts import NEU_CLASSES
from defect_nbdev.core.files import write_text
from defect_nbdev.inference.export import export_model
from defect_nbdev.batch.results import Results
from defect_nbdev.batch.run import inspect_files
from defect_nbdev.datasets.synthetic import make_steel
from defect_nbdev.inference.torch_engine import load_torch_engine

def family(): me = psutil.Process(); return [me, *me.children(recursive=True)]

def cpu():
    "Processor seconds of this process and all below it that live"
    out = {}
    for p in family():
        try: t = p.cpu_times(); out[p.pid] = ('worker' if 'MapWorker' in (p.cmdline() or [''])[0] else 'rest', t.user+t.system)
        except psutil.Error: pass
    return out

def spent(a, b): return {k:round(sum(t-a.get(pid, (k,0))[1] for pid,(kind,t) in b.items() if kind==k), 3) for k in ('worker', 'rest')}

class Bar:
    "In the place of a progress bar: what was spent when the first rows came, and when the last ones did"
    def __init__(self): self.seen,self.n,self.own = [],0,0.
    def update(self, n): t = time.thread_time(); self.n += n; self.seen.append((time.perf_counter(), cpu(), self.n)); self.own += time.thread_time()-t     # while the workers live
    def clear(self): pass

def single(model, folder, out):
    files = packed(model); t0 = time.perf_counter(); inspector = unpacked(files, 1); start = time.perf_counter()-t0; a,t = cpu(),time.perf_counter()
    with Results(inspector, out) as r: n = inspect_files(r, [folder]); took = time.perf_counter()-t; spent_s = spent(a, cpu())['rest']; r.finish('parquet')
    return dict(start_s=start, images=n, s=took, cpu_s=spent_s)

def clustered(model, folder, out, workers):
    files = packed(model); inspector = unpacked(files, 1); e = inspector.engine; bar = Bar(); t0 = time.perf_counter()
    with Results(inspector, out) as r, cluster(workers, 1) as (ray, n, threads):
        up = time.perf_counter(); before = cpu(); t = time.thread_time(); wave = list(listed([folder])); listing = time.thread_time()-t
        setup = _Setup(version('defect_nbdev'), e.model_hash, e.preprocess_hash, threads, 8, 2, None, None); t = time.thread_time()
        for done in _deal(ray, wave, ray.put(files), setup, n): _noted(r, wave, done, print, bar)
        noting = time.thread_time()-t; (t1,_,_),(t,a,first),(t2,b,_) = bar.seen[0],bar.seen[len(bar.seen)//2],bar.seen[-1]; tt = time.thread_time(); r.finish('parquet'); table = time.thread_time()-tt
    d = spent(a, b); return dict(start_s=up-t0, models_s=t1-up, images=bar.n-first, s=t2-t, worker_cpu_s=d['worker'], rest_cpu_s=d['rest'], start_cpu_s=spent(before, a),
                                 first_machine_us={k:round(1e6*v/len(wave), 1) for k,v in (('list',listing), ('note',noting-bar.own), ('table',table))})

def million(s, us, o, machines=(1, 4, 16)):
    "What a million images take, by arithmetic: what workers share, and what the first machine does alone before and after"
    core_hours = 1e3*(s['worker_cpu_ms']+s['rest_cpu_ms'])/3600; alone = us['list']+us['table']+s['ray_start_s']+s['workers_start_s']     # 1e6 images at 1 µs are 1 s
    minutes = lambda m: (max(3600*core_hours/o.use/o.cores/m, us['note'])+alone)/60                                                   # no faster than rows are written
    return {'core_hours':round(core_hours, 2), 'price_per_core_hour_assumed':o.price, 'cores_in_use_assumed':o.use, 'cost':round(core_hours/o.use*o.price, 2), 'cores_per_machine':o.cores, 'first_machine_alone_s':round(alone),
            'minutes':{str(m):round(minutes(m), 1) for m in machines}, 'rows_per_s_at_most':round(1e6/us['note'])}

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter); p.add_argument('--images', type=int, default=1500); p.add_argument('--rounds', type=int, default=3); p.add_argument('--workers', type=int, default=2)
    p.add_argument('--price', type=float, default=.05, help='an hour of a vCPU, in your currency; an assumption'); p.add_argument('--use', type=float, default=.8, help='share of the cores that is kept busy; an assumption'); p.add_argument('--cores', type=int, default=16, help='of each machine')
    p.add_argument('--out', default=str(Path(__file__).with_suffix('.json'))); o = p.parse_args()
    with tempfile.TemporaryDirectory() as d:
        d = Path(d); (steel := d/'steel').mkdir(); export_model(load_torch_engine('neu-lite0', 'cpu'), model := d/'lite.onnx')
        for k in range(o.images): Image.fromarray(make_steel(NEU_CLASSES[k%6], seed=k).image).save(steel/f'coil_{k}.jpg', quality=95)
        rounds = []
        for r in range(o.rounds):
            one,many = single(model, steel, d/f's{r}'),clustered(model, steel, d/f'c{r}', o.workers); rounds.append({'single':one, 'cluster':many})
            print(f"round {r}: one process {one['images']/one['s']:.1f}/s, {o.workers} workers {many['images']/many['s']:.1f}/s; processor time an image {1e3*one['cpu_s']/one['images']:.1f} ms and {1e3*(many['worker_cpu_s']+many['rest_cpu_s'])/many['images']:.1f} ms", flush=True)
    mid = lambda f: round(median(f(r) for r in rounds), 5); each = lambda w, k: lambda r: r[w][k]/r[w]['images']
    s = {'single_cpu_ms':1e3*mid(each('single', 'cpu_s')), 'worker_cpu_ms':1e3*mid(each('cluster', 'worker_cpu_s')), 'rest_cpu_ms':1e3*mid(each('cluster', 'rest_cpu_s')),
         'throughput_ratio':mid(lambda r: r['cluster']['images']/r['cluster']['s']/(r['single']['images']/r['single']['s'])), 'single_images_per_s':mid(lambda r: r['single']['images']/r['single']['s']),
         'cluster_images_per_s':mid(lambda r: r['cluster']['images']/r['cluster']['s']), 'ray_start_s':mid(lambda r: r['cluster']['start_s']), 'workers_start_s':mid(lambda r: r['cluster']['models_s']),
         'single_cores_busy':mid(lambda r: r['single']['cpu_s']/r['single']['s']), 'cluster_cores_busy':mid(lambda r: (r['cluster']['worker_cpu_s']+r['cluster']['rest_cpu_s'])/r['cluster']['s'])}
    s = {k:round(v, 3) for k,v in s.items()}; us = {k:mid(lambda r: r['cluster']['first_machine_us'][k]) for k in ('list', 'note', 'table')}
    for k,v in {**s, **{f'{k}_us':v for k,v in us.items()}}.items(): print(f'{k:22} {v:9.3f}')
    where = {'machine':platform.machine(), 'cores':len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count(), 'versions':{k:version(k) for k in ('ray', 'onnxruntime', 'pyarrow')}}
    out = {**where, 'model':'neu-lite0', 'engine':'ONNX Runtime', 'images':o.images, 'workers':o.workers, 'rounds':rounds, 'summary':s, 'first_machine_us':us, 'million':million(s, us, o)}
    write_text(Path(o.out), json.dumps(out, indent=1) + '\n'); print(json.dumps(out['million'], indent=1))

if __name__=='__main__': main()

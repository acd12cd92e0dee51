"""The page under load, through its real HTTP API: python nbs/benchmarks/app_load.py [--clients 64] [--seconds 300]

Starts `python app.py` several times to see how soon the page is there, asks for single images on the idle page, then lets many
clients ask for five minutes. Every client has an image of its own and compares each answer's hash and heatmap with what the idle
page said of that image, so a crossed answer is seen. Needs an otherwise idle machine. Writes app_load.json beside itself."""
import argparse, asyncio, hashlib, json, os, platform, re, subprocess, sys, tempfile, time
from pathlib import Path
import cv2, httpx, numpy as np
from defect_nbdev.core.files import write_text
from defect_nbdev.inference.engines import cpu_count
from defect_nbdev.datasets.synthetic import PAINTERS, make_steel

ROOT = Path(__file__).parents[2]

def start(model, folder, *options):
    "(process, address, seconds until the page is served, seconds until the model has answered)"
    t0 = time.perf_counter(); log = open(folder/'log', 'w'); env = {**os.environ, 'PYTHONUNBUFFERED':'1', 'XDG_DATA_HOME':str(folder)}
    p = subprocess.Popen([sys.executable, 'app.py', '--model', model, '--port', '0', '--browser', 'False', *options], cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, env=env); at = page = None
    while p.poll() is None and time.perf_counter()-t0<120:
        said = (folder/'log').read_text(); found = re.search(r'inspector on (\S+)', said); at = at or (found and found[1])
        if at and page is None:
            try: httpx.get(f'{at}/', timeout=30).raise_for_status(); page = time.perf_counter()-t0
            except httpx.HTTPError: pass
        if page and 'model is ready' in said: return p,at,page,time.perf_counter()-t0
        time.sleep(.02)
    raise SystemExit((folder/'log').read_text())

async def ask(http, at, png, name):
    "(record, digest of the heatmap's pixels) of one image, as any client gets them: upload, call, wait, fetch"
    path = (await http.post(f'{at}/gradio_api/upload', files={'files':(name, png)})).raise_for_status().json()[0]
    event = (await http.post(f'{at}/gradio_api/call/inspect', json={'data':[{'path':path, 'meta':{'_type':'gradio.FileData'}}, None, .6]})).raise_for_status().json()['event_id']
    async with http.stream('GET', f'{at}/gradio_api/call/inspect/{event}') as r:
        kind = None
        async for line in r.aiter_lines():
            if line.startswith('event:'): kind = line[7:]
            elif line.startswith('data:') and kind in ('complete', 'error'): break
    if kind!='complete': raise RuntimeError(f'{kind}: {line}')
    record,picture = json.loads(line[6:]); seen = cv2.imdecode(np.frombuffer((await http.get(picture['url'])).raise_for_status().content, np.uint8), 1)
    return record, hashlib.sha256(seen.tobytes()).hexdigest()

def pngs(n):
    "An image for each client"
    return [cv2.imencode('.png', make_steel(list(PAINTERS)[k%6], seed=1000+k).image)[1].tobytes() for k in range(n)]

def quantiles(v): return {k:round(float(np.quantile(v, q)), 1) for k,q in (('p50', .5), ('p95', .95), ('p99', .99), ('max', 1))}

def rss(pid): return int(re.search(r'VmRSS:\s+(\d+)', Path(f'/proc/{pid}/status').read_text())[1])//1024

async def idle(at, images, n):
    "Milliseconds of single images, one after the other; and what was said of each image"
    async with httpx.AsyncClient(timeout=120) as http:
        truth = [await ask(http, at, png, f'{k}.png') for k,png in enumerate(images)]; ms = []
        for k in range(n): t = time.perf_counter(); await ask(http, at, images[k%len(images)], f'{k}.png'); ms.append((time.perf_counter()-t)*1e3)
    return ms,truth

async def load(at, images, truth, seconds, pid):
    "What many clients met"
    out = dict(answers=0, errors=[], crossed=0, busy=0); waits,memory,until = [],[],time.perf_counter()+seconds
    async def client(k):
        async with httpx.AsyncClient(timeout=300) as http:
            while time.perf_counter()<until:
                t = time.perf_counter()
                try: record,digest = await ask(http, at, images[k], f'{k}.png')
                except httpx.HTTPStatusError as e:
                    if e.response.status_code!=503: out['errors'].append(str(e)[:200]); continue
                    out['busy'] += 1; await asyncio.sleep(float(e.response.headers.get('retry-after', 1))); continue
                except Exception as e: out['errors'].append(repr(e)[:200]); continue
                waits.append((time.perf_counter()-t)*1e3); out['answers'] += 1; out['crossed'] += (record['image_hash'], digest)!=(truth[k][0]['image_hash'], truth[k][1])
    async def watch():
        while time.perf_counter()<until: memory.append(rss(pid)); await asyncio.sleep(seconds/60)
    t0 = time.perf_counter(); await asyncio.gather(watch(), *map(client, range(len(images)))); took = time.perf_counter()-t0
    third = len(memory)//3
    return {**out, 'errors':len(out['errors']), 'first_errors':out['errors'][:5], 'images_per_second':round(out['answers']/took, 2), 'milliseconds':quantiles(waits), 'memory_mb':memory,
            'memory_growth_mb':round(float(np.median(memory[-third:]) - np.median(memory[third:2*third])), 1)}

def measure(model, clients, seconds, starts, folder):
    "All of it, for one model"
    times = []
    for k in range(starts):
        (f := folder/str(k)).mkdir(); p,at,page,ready = start(model, f, '--max_size', '20'); times.append((page, ready))
        if k<starts-1: p.terminate(); p.wait(30)
    images = pngs(clients); ms,truth = asyncio.run(idle(at, images, 40)); d = {'page_seconds':[round(a, 2) for a,_ in times], 'model_seconds':[round(b, 2) for _,b in times], 'idle_milliseconds':quantiles(ms)}
    print(model, d, flush=True); d.update(asyncio.run(load(at, images, truth, seconds, p.pid)), clients=clients, seconds=seconds)
    served = next(Path(tempfile.gettempdir()).glob(f'defect-page-{p.pid}-*')); p.terminate(); p.wait(30); d['left_behind'] = served.exists()
    return d

if __name__=='__main__':
    a = argparse.ArgumentParser(); a.add_argument('--models', nargs='+', default=['neu-resnet50', 'neu-lite0']); a.add_argument('--clients', type=int, default=64); a.add_argument('--seconds', type=int, default=300); a.add_argument('--starts', type=int, default=3); a.add_argument('--out', default=str(Path(__file__).with_suffix('.json'))); a = a.parse_args()
    out = Path(a.out); done = json.loads(out.read_text()) if out.is_file() else {}
    for model in a.models:
        with tempfile.TemporaryDirectory() as d: done[model] = measure(model, a.clients, a.seconds, a.starts, Path(d))
        done['machine'] = f'{cpu_count()} cores, {platform.processor() or platform.machine()}, Python {platform.python_version()}'; write_text(out, json.dumps(done, indent=1) + '\n')
        print(model, {k:v for k,v in done[model].items() if k!='memory_mb'}, flush=True)

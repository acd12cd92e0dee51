"""The page under load, through its real HTTP API.

    python nbs/benchmarks/app_load.py [--clients 64] [--seconds 300]

Starts `python app.py` several times to see how soon the page is there, asks for single images on
the idle page, then lets many clients ask for five minutes. Every client has an image of its own
and compares each answer's hash and heatmap with what the idle page answered for that image, so a
crossed answer is noticed. Needs an otherwise idle machine. Writes app_load.json beside itself."""
import asyncio
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import httpx
import numpy as np

from common import json_beside, make_parser, read_json, resident_mb, write_json
from defect_nbdev.core.cli import cpu_count
from defect_nbdev.datasets.synthetic import PAINTERS, make_steel

ROOT = Path(__file__).parents[2]
START_LIMIT = 120 # seconds until the page must be there


def launch(model, folder, *options):
    "Start app.py; its output goes to a file in the folder"
    command = [sys.executable, 'app.py', '--model', model, '--port', '0', '--browser', 'False']
    env = {**os.environ, 'PYTHONUNBUFFERED':'1', 'XDG_DATA_HOME':str(folder)}
    with open(folder/'log', 'w') as log:
        return subprocess.Popen([*command, *options], cwd=ROOT, env=env, stdout=log,
                                stderr=subprocess.STDOUT)


def is_served(url):
    "Whether the page answers"
    try:
        httpx.get(f'{url}/', timeout=30).raise_for_status()
    except httpx.HTTPError:
        return False
    return True


def start_app(model, folder, *options):
    "(process, URL, seconds until the page is served, seconds until the model has answered)"
    start = time.perf_counter()
    process = launch(model, folder, *options)
    url = page_seconds = None
    while process.poll() is None and time.perf_counter()-start<START_LIMIT:
        output = (folder/'log').read_text()
        found = re.search(r'inspector on (\S+)', output)
        url = url or (found and found[1])
        if url and page_seconds is None and is_served(url):
            page_seconds = time.perf_counter()-start
        if page_seconds and 'model is ready' in output:
            return process, url, page_seconds, time.perf_counter()-start
        time.sleep(.02)
    process.kill()
    raise SystemExit((folder/'log').read_text())


async def read_event(http, url):
    "(kind, data) of the last event of an endpoint's stream"
    kind = line = None
    async with http.stream('GET', url) as response:
        async for line in response.aiter_lines():
            if line.startswith('event:'):
                kind = line[7:]
            elif line.startswith('data:') and kind in ('complete', 'error'):
                break
    if kind!='complete': raise RuntimeError(f'{kind}: {line}')
    return json.loads(line[6:])


async def inspect(http, url, png, name):
    "(record, digest of the heatmap's pixels) as any client gets them: upload, call, wait, fetch"
    response = await http.post(f'{url}/gradio_api/upload', files={'files':(name, png)})
    path = response.raise_for_status().json()[0]
    file = {'path':path, 'meta':{'_type':'gradio.FileData'}}
    call = f'{url}/gradio_api/call/inspect'
    response = await http.post(call, json={'data':[file, None, .6]})
    event_id = response.raise_for_status().json()['event_id']
    record,picture = await read_event(http, f'{call}/{event_id}')
    response = await http.get(picture['url'])
    encoded = np.frombuffer(response.raise_for_status().content, np.uint8)
    pixels = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    return record, hashlib.sha256(pixels.tobytes()).hexdigest()


def make_pngs(n):
    "An image for each client"
    images = [make_steel(list(PAINTERS)[k%6], seed=1000+k).image for k in range(n)]
    return [cv2.imencode('.png', image)[1].tobytes() for image in images]


def quantiles(values):
    "Quantiles that people ask for"
    shares = {'p50':.5, 'p95':.95, 'p99':.99, 'max':1}
    return {name:round(float(np.quantile(values, share)), 1) for name,share in shares.items()}


async def measure_idle(url, images, n):
    "Milliseconds of n single images, one after the other; and the answer for each image"
    async with httpx.AsyncClient(timeout=120) as http:
        expected = [await inspect(http, url, png, f'{k}.png') for k,png in enumerate(images)]
        milliseconds = []
        for k in range(n):
            start = time.perf_counter()
            await inspect(http, url, images[k%len(images)], f'{k}.png')
            milliseconds.append((time.perf_counter()-start)*1e3)
    return milliseconds,expected


class Load:
    "Many clients for some time, and what happened to them"
    def __init__(self, url, images, expected, seconds, pid):
        self.url,self.images,self.expected = url,images,expected
        self.seconds,self.pid = seconds,pid
        self.counts = dict(answers=0, errors=[], crossed=0, busy=0)
        self.milliseconds,self.memory_mb = [],[]

    def is_running(self):
        return time.perf_counter()<self.until

    async def client(self, k):
        "Ask for the k-th image until the time is over"
        async with httpx.AsyncClient(timeout=300) as http:
            while self.is_running():
                await self.ask_once(http, k)

    async def ask_once(self, http, k):
        "One request, its time and whether the answer is the expected one"
        counts,start = self.counts,time.perf_counter()
        try:
            record,digest = await inspect(http, self.url, self.images[k], f'{k}.png')
        except httpx.HTTPStatusError as e:
            if e.response.status_code!=503:
                counts['errors'].append(str(e)[:200])
                return
            counts['busy'] += 1
            await asyncio.sleep(float(e.response.headers.get('retry-after', 1)))
            return
        except Exception as e:
            counts['errors'].append(repr(e)[:200])
            return
        self.milliseconds.append((time.perf_counter()-start)*1e3)
        counts['answers'] += 1
        own_record,own_digest = self.expected[k]
        own = own_record['image_hash'],own_digest
        counts['crossed'] += (record['image_hash'], digest)!=own

    async def watch_memory(self):
        while self.is_running():
            self.memory_mb.append(resident_mb(self.pid))
            await asyncio.sleep(self.seconds/60)

    async def run(self):
        "Let all clients ask at once; the result, ready for JSON"
        start = time.perf_counter()
        self.until = start + self.seconds
        await asyncio.gather(self.watch_memory(), *map(self.client, range(len(self.images))))
        return self.summary(time.perf_counter()-start)

    def summary(self, seconds):
        "Counts, waiting times, and how memory grew from the second third to the last"
        errors,third = self.counts['errors'],len(self.memory_mb)//3
        second,last = self.memory_mb[third:2*third],self.memory_mb[-third:]
        growth = round(float(np.median(last) - np.median(second)), 1)
        return {**self.counts, 'errors':len(errors), 'first_errors':errors[:5],
                'images_per_second':round(self.counts['answers']/seconds, 2),
                'milliseconds':quantiles(self.milliseconds), 'memory_mb':self.memory_mb,
                'memory_growth_mb':growth}


def stop(process):
    process.terminate()
    process.wait(30)


def start_repeatedly(model, starts, folder):
    "(the last process, its URL, seconds until page and model of each start)"
    times = []
    for k in range(starts):
        (folder/str(k)).mkdir()
        process,url,*seconds = start_app(model, folder/str(k), '--max_size', '20')
        times.append(seconds)
        if k<starts-1:
            stop(process)
    return process, url, times


def measure(model, clients, seconds, starts, folder):
    "All of it, for one model"
    process,url,times = start_repeatedly(model, starts, folder)
    images = make_pngs(clients)
    milliseconds,expected = asyncio.run(measure_idle(url, images, 40))
    result = {'page_seconds':[round(page, 2) for page,_ in times],
              'model_seconds':[round(ready, 2) for _,ready in times],
              'idle_milliseconds':quantiles(milliseconds)}
    print(model, result, flush=True)
    load = Load(url, images, expected, seconds, process.pid)
    result.update(asyncio.run(load.run()), clients=clients, seconds=seconds)
    served = next(Path(tempfile.gettempdir()).glob(f'defect-page-{process.pid}-*'))
    stop(process)
    result['left_behind'] = served.exists()
    return result


def main():
    parser = make_parser(__doc__)
    parser.add_argument('--models', nargs='+', default=['neu-resnet50', 'neu-lite0'])
    parser.add_argument('--clients', type=int, default=64)
    parser.add_argument('--seconds', type=int, default=300)
    parser.add_argument('--starts', type=int, default=3)
    parser.add_argument('--out', default=json_beside(__file__))
    args = parser.parse_args()
    results = read_json(args.out, {})
    for model in args.models:
        with tempfile.TemporaryDirectory() as folder:
            results[model] = measure(model, args.clients, args.seconds, args.starts, Path(folder))
        results['machine'] = (f'{cpu_count()} cores, {platform.processor() or platform.machine()}, '
                              f'Python {platform.python_version()}')
        write_json(args.out, results)
        print(model, {k:v for k,v in results[model].items() if k!='memory_mb'}, flush=True)


if __name__=='__main__': main()

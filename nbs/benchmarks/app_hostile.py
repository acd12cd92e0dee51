"""What visitors who mean harm can send to the page, through real HTTP.

    python nbs/benchmarks/app_hostile.py [--small 10000]

Starts `python app.py` with a ledger and makes one trial after the other. A trial passes if the
page answers as a page should (the status and words are stored), nothing outside its folder was
read or written, and afterwards it still names a good image right. Writes app_hostile.json beside
itself: each trial with how many requests it made and what came back, and the sums."""
import asyncio
import io
import json
import os
import socket
import struct
import sys
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path
from urllib.parse import quote

import httpx

from app_load import inspect, make_pngs, start_app
from common import json_beside, make_parser, resident_mb, write_json
from defect_nbdev.web.server import raise_files

SECRET = 'a-file-that-nobody-may-read'
UPLOAD_HEAD = (b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n')
FORM_DATA = 'multipart/form-data; boundary=x'


class Trial:
    "One kind of attack: its requests, what came back, what was wrong"
    def __init__(self, name):
        self.name,self.requests,self.answers,self.wrong = name,0,Counter(),[]

    def record(self, answer):
        "Count an answer"
        self.requests += 1
        self.answers[answer] += 1

    def expect(self, is_right, why):
        "Note what is wrong, if it is"
        if not is_right:
            self.wrong.append(why)

    def result(self):
        return {'requests':self.requests, 'answers':dict(self.answers),
                'passed':not self.wrong, 'wrong':self.wrong[:5]}


class Site:
    "The page under attack"
    def __init__(self, url, folder, pid):
        self.url,self.folder,self.pid = url,folder,pid
        self.http = httpx.Client(timeout=120)
        self.netloc = url.split('//')[1]

    @property
    def workspace(self):
        "The folder that the page keeps its files in"
        return next(Path(tempfile.gettempdir()).glob(f'defect-page-{self.pid}-*'))

    def connect(self):
        "A socket, for requests that no library would send"
        host,port = self.netloc.split(':')
        return socket.create_connection((host, int(port)), 30)

    def get(self, path, **options):
        return self.http.get(f'{self.url}/{path}', **options)

    def upload(self, name, data):
        return self.http.post(f'{self.url}/gradio_api/upload', files={'files':(name, data)})

    def upload_path(self, name, data):
        "Where an uploaded file lies on the server"
        return self.upload(name, data).json()[0]

    def post_call(self, endpoint, data):
        return self.http.post(f'{self.url}/gradio_api/call/{endpoint}', json={'data':data})

    def call(self, endpoint, data):
        "(kind of the last event, its data) of an endpoint"
        response = self.post_call(endpoint, data)
        if response.status_code!=200:
            return str(response.status_code), response.json().get('detail', '')
        kind = text = ''
        event_url = f"{self.url}/gradio_api/call/{endpoint}/{response.json()['event_id']}"
        with self.http.stream('GET', event_url) as stream:
            for line in stream.iter_lines():
                if line.startswith('event:'):
                    kind = line[7:]
                elif line.startswith('data:') and kind in ('complete', 'error'):
                    text = line[6:]
                    break
        return kind,text

    def has_jobs(self):
        "Whether a batch or a strip has files of its own"
        return any((self.workspace/'jobs').iterdir())


def file_data(path, **meta):
    "A file as the API wants it"
    return {'path':path, 'meta':{'_type':'gradio.FileData'}, **meta}


def make_zip(files):
    "A zip archive with (name, content) pairs"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name,content in files:
            archive.writestr(name, content)
    return buffer.getvalue()


def understate_sizes(archive):
    "The same archive, whose headers say that each file has 100 bytes"
    data = bytearray(archive)
    for signature,offset in ((b'PK\x01\x02', 24), (b'PK\x03\x04', 22)):
        start = data.find(signature)
        while start>=0:
            data[start+offset:start+offset+4] = struct.pack('<I', 100)
            start = data.find(signature, start+1)
    return bytes(data)


def make_zips():
    "name -> a zip that somebody might send"
    png,zeros = make_pngs(1)[0],bytes(300*2**20)
    bomb = make_zip([(f'{k}.png', zeros) for k in range(5)])
    climbing = '../../../climbed.png','/tmp/climbed.png','..\\..\\climbed.png'
    return {
        'bomb, 1.5 GB in 1.5 MB':bomb,
        'bomb that says 100 bytes':understate_sizes(bomb),
        'bomb in a zip':make_zip([('inner.zip', bomb)]),
        'names that climb':make_zip([(name, png) for name in climbing]),
        '30,000 entries':make_zip([(f'{k}.png', b'') for k in range(30_000)]),
        'no zip at all':b'PK\x03\x04' + os.urandom(2000),
        'names of HTML':make_zip([('<img src=x onerror=alert(1)>.png', png)])}


def try_zips(site):
    trial = Trial('zip bombs and zips with odd names')
    for name,data in make_zips().items():
        before = resident_mb(site.pid)
        path = site.upload_path('shift.zip', data)
        kind,text = site.call('batch', [[file_data(path)]])
        trial.record(f'{name}: {kind}')
        gives_path_away = kind=='error' and str(site.workspace) in text
        trial.expect(kind in ('complete', 'error') and not gives_path_away,
                     f'{name}: {kind} {text[:200]}')
        grown = resident_mb(site.pid)-before
        trial.expect(grown<400, f'{name}: memory grew by {grown} MB')
        is_refused = kind=='error' or 'bomb' not in name or 'unreadable' in text
        trial.expect(is_refused, f'{name}: was accepted')
    climbed = [*Path('/tmp').glob('climbed*'), *site.folder.rglob('climbed*')]
    trial.expect(not climbed, 'a name climbed out')
    trial.expect(not site.has_jobs(), 'a job left files behind')
    return trial


PREFIXES = ('/gradio_api/file=', '/file=', '/static/', '/assets/', '/gradio_api/stream/',
            '/gradio_api/proxy=', '/../', '/gradio_api/file/')
FORBIDDEN = SECRET.encode(), b'root:x:', b'SQLite format', b'lib_name'


def spell_path(path, served):
    "Ways to write a path in an address"
    climbing = f'{served}/../..{path}'
    encoded_climbing = quote(f'{served}/') + '%2e%2e/%2e%2e/' + quote(path)
    return (path, quote(path), quote(path, safe=''), quote(quote(path, safe=''), safe=''),
            climbing, encoded_climbing, f'/{path}', f'file://{path}', path.replace('/', '\\'),
            path + '%00.png', f'{path}/.')


def get_raw(site, address):
    "All bytes of an answer to an address that no library would send unchanged"
    request = f'GET {address} HTTP/1.1\r\nHost: {site.netloc}\r\nConnection: close\r\n\r\n'
    with site.connect() as connection:
        connection.sendall(request.encode())
        return b''.join(iter(lambda: connection.recv(65536), b''))


def try_addresses(site, trial, paths):
    "Paths in addresses"
    served = f'{site.workspace}/served'
    for path in paths:
        for spelling in spell_path(path, served):
            for prefix in PREFIXES:
                address = prefix + spelling
                answer = get_raw(site, address)
                status = answer[9:12].decode()
                trial.record(status)
                is_page = b'<!doctype html>' in answer.lower()
                trial.expect(status!='200' or is_page, f'{address}: {status}')
                is_safe = not any(word in answer for word in FORBIDDEN)
                trial.expect(is_safe, f'{address}: gave the file away')


def try_bodies(site, trial, paths):
    "Paths and URLs in the place of an uploaded file"
    for path in paths:
        file = file_data(path)
        calls = {'inspect':[file, None, .6], 'strip':[file, None, None, None],
                 'correct':[file, 'Pitted', '', '']}
        for endpoint,data in calls.items():
            kind,text = site.call(endpoint, data)
            trial.record(f'body: {kind}')
            is_safe = kind!='complete' and SECRET not in text
            trial.expect(is_safe, f'{endpoint} {path}: {kind} {text[:100]}')


def try_paths(site):
    trial = Trial('addresses that climb out of the folder, by file= and in bodies')
    secret = site.folder/'secret.txt'
    secret.write_text(SECRET)
    space = site.workspace
    paths = (secret, space/'kept', space/'jobs', site.folder/'ledger.db', Path('/etc/passwd'),
             Path('app.py').resolve(), Path('settings.ini').resolve())
    try_addresses(site, trial, map(str, paths))
    try_bodies(site, trial, (
        str(secret), '/etc/passwd', f'{space}/served/../kept', 'http://169.254.169.254/latest',
        '//elsewhere/a.png', 'https://example.com/a.png'))
    return trial


ODD_NAMES = (
    '../../../etc/cron.d/x.png', '..\\..\\x.png', '<img src=x onerror=alert(1)>.png',
    '"><script>alert(1)</script>.png', 'a\u202egnp.exe', 'x'*3000 + '.png', '.png', ' ', 'con.png',
    'a;rm -rf ~.png', '$(id).png', '%2e%2e%2fx.png', 'ä\u0000b.png')


def try_names(site):
    trial = Trial('file names with paths, HTML, control signs, and far too long')
    png = make_pngs(1)[0]
    for name in ODD_NAMES:
        shown = repr(name[:40])
        response = site.upload(name, png)
        status = response.status_code
        trial.record(str(status))
        if status!=200:
            trial.expect(status<500, f'{shown}: {status}')
            continue
        path = response.json()[0]
        is_inside = Path(path).resolve().is_relative_to(site.workspace/'served')
        trial.expect(is_inside, f'{shown}: stored at {path}')
        kind,_ = site.call('inspect', [file_data(path, orig_name=name), None, .6])
        trial.record(f'inspect: {kind}')
        trial.expect(kind in ('complete', 'error'), f'{shown}: {kind}')
    return trial


SVG = b'<svg xmlns="http://www.w3.org/2000/svg"'
ACTIVE_FILES = (
    ('a.svg', SVG + b' onload="alert(1)"><script>alert(1)</script></svg>'),
    ('a.html', b'<script>alert(1)</script>'),
    ('a.png', SVG + b'><script>alert(1)</script></svg>'),
    ('a.xml', b'<?xml version="1.0"?>'
              b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'),
    ('a.tif', b'II*\x00' + os.urandom(200)),
    ('a.npy', b'\x93NUMPY\x01\x00v\x00'
              + b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(118)
              + b'cos\nsystem\n'))


def check_download(trial, name, response):
    "A file is downloaded or shown as an image, never run"
    disposition = response.headers.get('content-disposition', '')
    kind = response.headers['content-type']
    trial.record(f'{name}: {response.status_code} {disposition.split(";")[0]}')
    is_harmless = 'attachment' in disposition or kind.startswith(('image/png', 'image/tiff'))
    trial.expect(is_harmless, f'{name}: served as {kind}, {disposition}')
    has_headers = (response.headers['x-content-type-options']=='nosniff'
                   and "default-src 'self'" in response.headers['content-security-policy'])
    trial.expect(has_headers, f'{name}: without headers')


def try_active(site):
    trial = Trial('SVG and HTML with scripts')
    for name,data in ACTIVE_FILES:
        path = site.upload_path(name, data)
        check_download(trial, name, site.get(f'gradio_api/file={path}'))
        for endpoint,rest in (('inspect', [None, .6]), ('strip', [None, None, None])):
            kind,text = site.call(endpoint, [file_data(path), *rest])
            trial.record(f'{name}: {endpoint} {kind}')
            trial.expect(kind=='error' and 'root:x' not in text,
                         f'{name}: {endpoint} {kind} {text[:100]}')
    return trial


def post_huge(site, trial, name, headers):
    "Upload 500 MB in pieces"
    def body():
        yield UPLOAD_HEAD
        for _ in range(500):
            yield bytes(2**20)
    url = f'{site.url}/gradio_api/upload'
    try:
        response = site.http.post(url, content=body(), headers=headers)
    except (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
        trial.record(f'{name}: connection closed')
        return
    trial.record(f'{name}: {response.status_code}')
    trial.expect(response.status_code==413, f'{name}: {response.status_code}')


def post_false_length(site, trial):
    "A megabyte that says it has ten bytes"
    head = ('POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\n'
            f'Content-Type: {FORM_DATA}\r\nContent-Length: 10\r\n\r\n')
    with site.connect() as connection:
        connection.sendall(head.encode() + UPLOAD_HEAD + bytes(2**20))
        connection.settimeout(20)
        trial.record('with a false length: ' + connection.recv(100)[9:12].decode())


def post_long_json(site, trial):
    body = b'{"data": ["' + b'x'*(5*2**20) + b'"]}'
    headers = {'content-type':'application/json'}
    url = f'{site.url}/gradio_api/call/inspect'
    status = site.http.post(url, content=body, headers=headers).status_code
    trial.record(f'5 MB of JSON: {status}')
    trial.expect(status==413, f'5 MB of JSON: {status}')


def try_size(site):
    trial = Trial('500 MB uploads: with a length, without one, with a false one')
    before = resident_mb(site.pid)
    headers = {'content-type':FORM_DATA}
    post_huge(site, trial, 'with a length', {**headers, 'content-length':str(500*2**20)})
    post_huge(site, trial, 'without a length', headers)
    post_false_length(site, trial)
    post_long_json(site, trial)
    time.sleep(1)
    grown = resident_mb(site.pid)-before
    trial.expect(grown<300, f'memory grew by {grown} MB')
    kept = sum(file.stat().st_size for file in site.workspace.rglob('*') if file.is_file())
    trial.answers[f'MB left in the folder: {kept/2**20:.0f}'] += 1
    return trial


def leave_uploads(site, trial, n=50):
    "Uploads that end in the middle"
    head = ('POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\n'
            f'Content-Type: {FORM_DATA}\r\nContent-Length: 5000000\r\n\r\n')
    for _ in range(n):
        with site.connect() as connection:
            connection.sendall(head.encode() + UPLOAD_HEAD + bytes(100_000))
        trial.record('left in an upload')


def leave_jobs(site, trial, path):
    "A batch and a strip whose client goes away"
    calls = {'batch':[[file_data(path)]*60], 'strip':[file_data(path), None, None, None]}
    for endpoint,data in calls.items():
        event_id = site.post_call(endpoint, data).json()['event_id']
        with site.http.stream('GET', f'{site.url}/gradio_api/call/{endpoint}/{event_id}'):
            time.sleep(.3)
        trial.record(f'left in a {endpoint}')


def try_disconnects(site):
    trial = Trial('clients that disconnect: in an upload, in the queue, in a batch and in a strip')
    leave_uploads(site, trial)
    path = site.upload_path('a.png', make_pngs(1)[0])
    for _ in range(50):
        site.post_call('inspect', [file_data(path), None, .6])
        trial.record('never came back for an answer')
    leave_jobs(site, trial, path)
    until = time.time() + 120
    while time.time()<until and site.has_jobs():
        time.sleep(.5)
    trial.expect(not site.has_jobs(), 'a job left its folder behind')
    return trial


def guess_files(site, trial, served, digest):
    "Addresses of folders and of files beside the known one"
    space = site.workspace
    for guess in (f'{served}', f'{served}/', f'{served}/*', f'{served}/{digest}',
                  f'{served}/{digest}/', f'{space}/kept', f'{space}',
                  f'{served}/{digest[:-1]}0/mine.png'):
        status = site.get(f'gradio_api/file={guess}').status_code
        trial.record(f'listing or guessing: {status}')
        trial.expect(status!=200, f'{guess}: {status}')


def guess_events(site, trial):
    "Answers with made-up numbers"
    for path in ('gradio_api/queue/data', 'gradio_api/call/inspect/0',
                 f"gradio_api/call/inspect/{'x'*32}", f"gradio_api/call/batch/{'0'*32}"):
        try:
            response = site.get(path, timeout=10)
            status,text = response.status_code,response.text
        except httpx.HTTPError:
            status,text = 'closed without an answer',''
        trial.record(f'an answer with a made-up number: {status}')
        trial.expect('mine.png' not in text, f'{path}: gave it away')


def try_other_clients(site):
    trial = Trial("one client asking for another's images")
    png,_ = make_pngs(2)
    upload_url = f'{site.url}/gradio_api/upload'
    with httpx.Client(timeout=60) as other:
        path = other.post(upload_url, files={'files':('mine.png', png)}).json()[0]
    digest = Path(path).parent.name
    guess_files(site, trial, site.workspace/'served', digest)
    for endpoint in ('config', 'gradio_api/info', 'gradio_api/queue/status'):
        response = site.get(endpoint)
        trial.record(f'{endpoint}: {response.status_code}')
        is_safe = digest not in response.text and 'mine.png' not in response.text
        trial.expect(is_safe, f'{endpoint} names the file')
    guess_events(site, trial)
    return trial


async def get_status(host, port, path):
    "Status of one small request"
    reader,writer = await asyncio.wait_for(asyncio.open_connection(host, port), 60)
    writer.write(f'GET /{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'.encode())
    line = await asyncio.wait_for(reader.readline(), 120)
    writer.close()
    return line[9:12].decode() or 'closed'


async def send_small(site, n):
    "n small requests at once, a few thousand sockets open"
    trial = Trial(f'{n:,} small requests at once')
    host,port = site.netloc.split(':')
    gate = asyncio.Semaphore(4000)
    paths = 'config','','gradio_api/info','nothing'

    async def send(k):
        async with gate:
            try:
                trial.record(await get_status(host, port, paths[k%4]))
            except (OSError, asyncio.TimeoutError) as e:
                trial.record(type(e).__name__)

    raise_files()
    await asyncio.gather(*(send(k) for k in range(n)))
    answered = sum(trial.answers[status] for status in ('200', '404', '503'))
    trial.expect(answered>=.99*n, f'{answered} of {n} got an answer')
    return trial


TRIALS = (try_zips, try_paths, try_names, try_active, try_size, try_disconnects, try_other_clients)


def inspect_good(url, png):
    "The label of a good image"
    async def ask():
        async with httpx.AsyncClient(timeout=120) as http:
            record,_ = await inspect(http, url, png, 'good.png')
            return record['label']
    return asyncio.run(ask())


def run_trials(site, process, n_small):
    "name -> result of each trial; and the sums, under 'all'"
    png,results = make_pngs(1)[0],{}
    label,memory = inspect_good(site.url, png),resident_mb(site.pid)
    trials = [*TRIALS, lambda site: asyncio.run(send_small(site, n_small))]
    for run in trials:
        trial = run(site)
        is_alive = process.poll() is None and inspect_good(site.url, png)==label
        trial.expect(is_alive, 'the page no longer names a good image right')
        results[trial.name] = trial.result()
        print(trial.name, json.dumps(trial.result(), indent=1), flush=True)
    each = results.values()
    sums = {'trials':len(results), 'requests':sum(r['requests'] for r in each),
            'passed':sum(r['passed'] for r in each), 'memory_mb_before':memory,
            'memory_mb_after':resident_mb(site.pid)}
    return {**results, 'all':sums}


def main():
    parser = make_parser(__doc__)
    parser.add_argument('--model', default='neu-lite0')
    parser.add_argument('--small', type=int, default=10_000)
    parser.add_argument('--out', default=json_beside(__file__))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        process,url,*_ = start_app(args.model, folder, '--ledger', str(folder/'ledger.db'))
        site = Site(url, folder, process.pid)
        results = run_trials(site, process, args.small)
        space = site.workspace
        process.terminate()
        process.wait(60)
        results['all']['left_behind'] = space.exists()
        print(results['all'])
    write_json(args.out, results)
    has_passed = all(r['passed'] for name,r in results.items() if name!='all')
    sys.exit(not has_passed)


if __name__=='__main__': main()

"""What visitors who mean harm can send to the page, through real HTTP: python nbs/benchmarks/app_hostile.py [--small 10000]

Starts `python app.py` with a ledger and tries each thing in turn. A trial passes if the page answers as a page should (the status
and words are stored), nothing outside its folder was read or written, and afterwards it still names a good image right. Writes
app_hostile.json beside itself: each trial with how many requests it made and what came back, and the sums."""
import argparse, asyncio, io, json, os, socket, struct, subprocess, sys, tempfile, time, zipfile
from collections import Counter
from pathlib import Path
from urllib.parse import quote
import httpx
from app_load import ask, pngs, rss, start
from defect_nbdev.core.files import write_text


SECRET = 'a-file-that-nobody-may-read'

class Trial:
    "One thing that was tried: its requests, what came back, what was wrong"
    def __init__(self, name): self.name,self.requests,self.said,self.wrong = name,0,Counter(),[]
    def saw(self, what): self.requests += 1; self.said[what] += 1
    def must(self, ok, words):
        if not ok: self.wrong.append(words)
    def result(self): return {'requests':self.requests, 'answers':dict(self.said), 'passed':not self.wrong, 'wrong':self.wrong[:5]}

class Site:
    "The page that is tried"
    def __init__(self, at, folder, pid): self.at,self.folder,self.pid,self.http = at,folder,pid,httpx.Client(timeout=120)
    @property
    def space(self): return next(Path(tempfile.gettempdir()).glob(f'defect-page-{self.pid}-*'))
    def upload(self, name, data): return self.http.post(f'{self.at}/gradio_api/upload', files={'files':(name, data)})
    def call(self, end, data):
        "(kind of the last event, what it says) of an endpoint"
        r = self.http.post(f'{self.at}/gradio_api/call/{end}', json={'data':data})
        if r.status_code!=200: return str(r.status_code), r.json().get('detail', '')
        kind = said = ''
        with self.http.stream('GET', f"{self.at}/gradio_api/call/{end}/{r.json()['event_id']}") as s:
            for line in s.iter_lines():
                if line.startswith('event:'): kind = line[7:]
                elif line.startswith('data:') and kind in ('complete', 'error'): said = line[6:]; break
        return kind,said
    def file(self, path, **meta): return {'path':path, 'meta':{'_type':'gradio.FileData'}, **meta}

def zips(d):
    "name -> a zip that somebody might send"
    def made(name, files, **kw):
        b = io.BytesIO()
        with zipfile.ZipFile(b, 'w', zipfile.ZIP_DEFLATED, **kw) as z:
            for k,v in files: z.writestr(k, v)
        return b.getvalue()
    png,zeros = pngs(1)[0],bytes(300*2**20); bomb = made('bomb', [(f'{k}.png', zeros) for k in range(5)]); lying = bytearray(bomb)
    for sig,off in ((b'PK\x01\x02', 24), (b'PK\x03\x04', 22)):
        at = lying.find(sig)
        while at>=0: lying[at+off:at+off+4] = struct.pack('<I', 100); at = lying.find(sig, at+1)
    return {'bomb, 1.5 GB in 1.5 MB':bomb, 'bomb that says 100 bytes':bytes(lying), 'bomb in a zip':made('nested', [('inner.zip', bomb)]), 'names that climb':made('climb', [('../../../climbed.png', png), ('/tmp/climbed.png', png), ('..\\..\\climbed.png', png)]),
            '30,000 entries':made('many', [(f'{k}.png', b'') for k in range(30_000)]), 'no zip at all':b'PK\x03\x04' + os.urandom(2000), 'names of HTML':made('html', [('<img src=x onerror=alert(1)>.png', png)])}

def try_zips(s):
    t = Trial('zip bombs and zips with odd names')
    for name,data in zips(s.folder).items():
        before = rss(s.pid); path = s.upload('shift.zip', data).json()[0]; kind,said = s.call('batch', [[s.file(path)]]); t.saw(f'{name}: {kind}')
        t.must(kind in ('complete', 'error') and str(s.space) not in (said if kind=='error' else ''), f'{name}: {kind} {said[:200]}'); t.must(rss(s.pid)-before<400, f'{name}: memory grew by {rss(s.pid)-before} MB'); t.must(kind=='error' or 'bomb' not in name or 'unreadable' in said, f'{name}: was accepted')
    t.must(not list(Path('/tmp').glob('climbed*')) and not list(s.folder.rglob('climbed*')), 'a name climbed out'); t.must(not list((s.space/'jobs').iterdir()), 'a job left files behind')
    return t

def try_paths(s):
    t = Trial('addresses that climb out of the folder, by file= and in bodies'); (s.folder/'secret.txt').write_text(SECRET); target = str(s.folder/'secret.txt')
    ways = [target, *(str(p) for p in (s.space/'kept', s.space/'jobs', s.folder/'ledger.db', Path('/etc/passwd'), Path('app.py').resolve(), Path('settings.ini').resolve()))]
    forms = (str, quote, lambda p: quote(p, safe=''), lambda p: quote(quote(p, safe=''), safe=''), lambda p: f'{s.space}/served/../..{p}', lambda p: quote(f'{s.space}/served/') + '%2e%2e/%2e%2e/' + quote(p), lambda p: f'/{p}', lambda p: f'file://{p}', lambda p: p.replace('/', '\\'), lambda p: p + '%00.png', lambda p: f'{p}/.')
    for path in ways:
        for form in forms:
            for where in ('/gradio_api/file=', '/file=', '/static/', '/assets/', '/gradio_api/stream/', '/gradio_api/proxy=', '/../', '/gradio_api/file/'):
                raw = s.at.split('//')[1]; host,port = raw.split(':')
                with socket.create_connection((host, int(port)), 30) as c: c.sendall(f'GET {where}{form(path)} HTTP/1.1\r\nHost: {raw}\r\nConnection: close\r\n\r\n'.encode()); got = b''.join(iter(lambda: c.recv(65536), b''))
                status = got[9:12].decode(); t.saw(status); t.must(status!='200' or b'<!doctype html>' in got.lower(), f'{where}{form(path)}: {status}'); t.must(not any(w in got for w in (SECRET.encode(), b'root:x:', b'SQLite format', b'lib_name')), f'{where}{form(path)}: gave the file away')
    for path in (target, '/etc/passwd', f'{s.space}/served/../kept', 'http://169.254.169.254/latest', '//elsewhere/a.png', 'https://example.com/a.png'):
        for end in ('inspect', 'strip', 'correct'):
            kind,said = s.call(end, {'inspect':[s.file(path), None, .6], 'strip':[s.file(path), None, None, None], 'correct':[s.file(path), 'Pitted', '', '']}[end]); t.saw(f'body: {kind}'); t.must(kind!='complete' and SECRET not in said, f'{end} {path}: {kind} {said[:100]}')
    return t

def try_names(s):
    t = Trial('file names with paths, HTML, control signs, and far too long'); png = pngs(1)[0]
    for name in ('../../../etc/cron.d/x.png', '..\\..\\x.png', '<img src=x onerror=alert(1)>.png', '"><script>alert(1)</script>.png', 'a\u202egnp.exe', 'x'*3000 + '.png', '.png', ' ', 'con.png', 'a;rm -rf ~.png', '$(id).png', '%2e%2e%2fx.png', 'ä\u0000b.png'):
        r = s.upload(name, png); t.saw(str(r.status_code))
        if r.status_code!=200: t.must(r.status_code<500, f'{name[:40]!r}: {r.status_code}'); continue
        path = r.json()[0]; t.must(Path(path).resolve().is_relative_to(s.space/'served'), f'{name[:40]!r}: stored at {path}'); kind,said = s.call('inspect', [s.file(path, orig_name=name), None, .6]); t.saw(f'inspect: {kind}'); t.must(kind in ('complete', 'error'), f'{name[:40]!r}: {kind}')
    return t

def try_active(s):
    t = Trial('SVG and HTML with scripts')
    for name,data in (('a.svg', b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(1)</script></svg>'), ('a.html', b'<script>alert(1)</script>'), ('a.png', b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'), ('a.xml', b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'), ('a.tif', b'II*\x00' + os.urandom(200)), ('a.npy', b'\x93NUMPY\x01\x00v\x00' + b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(118) + b'cos\nsystem\n')):
        path = s.upload(name, data).json()[0]; r = s.http.get(f'{s.at}/gradio_api/file={path}'); t.saw(f'{name}: {r.status_code} {r.headers.get("content-disposition", "").split(";")[0]}')
        t.must('attachment' in r.headers.get('content-disposition', '') or r.headers['content-type'].startswith(('image/png', 'image/tiff')), f'{name}: served as {r.headers["content-type"]}, {r.headers.get("content-disposition")}'); t.must(r.headers['x-content-type-options']=='nosniff' and "default-src 'self'" in r.headers['content-security-policy'], f'{name}: without headers')
        for end,rest in (('inspect', [None, .6]), ('strip', [None, None, None])): kind,said = s.call(end, [s.file(path), *rest]); t.saw(f'{name}: {end} {kind}'); t.must(kind=='error' and 'root:x' not in said, f'{name}: {end} {kind} {said[:100]}')
    return t

def try_size(s):
    t = Trial('500 MB uploads: with a length, without one, with a false one'); host,port = s.at.split('//')[1].split(':'); before = rss(s.pid)
    def pieces(n):
        for _ in range(n): yield bytes(2**20)
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    def body(): yield head; yield from pieces(500)
    for name,kw in (('with a length', dict(headers={'content-type':'multipart/form-data; boundary=x', 'content-length':str(500*2**20)})), ('without a length', dict(headers={'content-type':'multipart/form-data; boundary=x'}))):
        try: r = s.http.post(f'{s.at}/gradio_api/upload', content=body(), **kw); t.saw(f'{name}: {r.status_code}'); t.must(r.status_code==413, f'{name}: {r.status_code}')
        except (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError) as e: t.saw(f'{name}: connection closed')
    with socket.create_connection((host, int(port)), 30) as c:
        c.sendall(b'POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 10\r\n\r\n' + head + bytes(2**20)); c.settimeout(20); t.saw('with a false length: ' + c.recv(100)[9:12].decode())
    r = s.http.post(f'{s.at}/gradio_api/call/inspect', content=b'{"data": ["' + b'x'*(5*2**20) + b'"]}', headers={'content-type':'application/json'}); t.saw(f'5 MB of JSON: {r.status_code}'); t.must(r.status_code==413, f'5 MB of JSON: {r.status_code}')
    time.sleep(1); kept = sum(f.stat().st_size for f in s.space.rglob('*') if f.is_file())/2**20; t.must(rss(s.pid)-before<300, f'memory grew by {rss(s.pid)-before} MB'); t.said[f'MB left in the folder: {kept:.0f}'] += 1
    return t

def try_gone(s):
    t = Trial('clients that disconnect: in an upload, in the queue, in a batch and in a strip'); png = pngs(1)[0]; host,port = s.at.split('//')[1].split(':')
    for _ in range(50):
        with socket.create_connection((host, int(port)), 30) as c: c.sendall(b'POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 5000000\r\n\r\n--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n' + bytes(100_000))
        t.saw('left in an upload')
    path = s.upload('a.png', png).json()[0]
    for _ in range(50): s.http.post(f'{s.at}/gradio_api/call/inspect', json={'data':[s.file(path), None, .6]}); t.saw('never came back for an answer')
    for end,data in (('batch', [[s.file(path)]*60]), ('strip', [s.file(path), None, None, None])):
        id = s.http.post(f'{s.at}/gradio_api/call/{end}', json={'data':data}).json()['event_id']
        with s.http.stream('GET', f'{s.at}/gradio_api/call/{end}/{id}'): time.sleep(.3)
        t.saw(f'left in a {end}')
    until = time.time() + 120
    while time.time()<until and list((s.space/'jobs').iterdir()): time.sleep(.5)
    t.must(not list((s.space/'jobs').iterdir()), 'a job left its folder behind'); return t

def try_others(s):
    t = Trial("one client asking for another's images"); a,b = pngs(2)
    with httpx.Client(timeout=60) as one: path = one.post(f'{s.at}/gradio_api/upload', files={'files':('mine.png', a)}).json()[0]
    digest = Path(path).parent.name; served = s.space/'served'
    for guess in (f'{served}', f'{served}/', f'{served}/*', f'{served}/{digest}', f'{served}/{digest}/', f'{s.space}/kept', f'{s.space}', f'{served}/{digest[:-1]}0/mine.png'): r = s.http.get(f'{s.at}/gradio_api/file={guess}'); t.saw(f'listing or guessing: {r.status_code}'); t.must(r.status_code!=200, f'{guess}: {r.status_code}')
    for end in ('config', 'gradio_api/info', 'gradio_api/queue/status'): r = s.http.get(f'{s.at}/{end}'); t.saw(f'{end}: {r.status_code}'); t.must(digest not in r.text and 'mine.png' not in r.text, f'{end} names the file')
    for id in ('gradio_api/queue/data', 'gradio_api/call/inspect/0', f"gradio_api/call/inspect/{'x'*32}", f"gradio_api/call/batch/{'0'*32}"):
        try: r = s.http.get(f'{s.at}/{id}', timeout=10); said,text = r.status_code,r.text
        except httpx.HTTPError as e: said,text = 'closed without an answer',''
        t.saw(f'an answer with a made-up number: {said}'); t.must('mine.png' not in text, f'{id}: gave it away')
    return t

async def try_small(s, n):
    t = Trial(f'{n:,} small requests at once'); hosts = s.at.split('//')[1].split(':'); gate = asyncio.Semaphore(4000)                   # open sockets of this client
    async def one(k):
        async with gate:
            try: r,w = await asyncio.wait_for(asyncio.open_connection(*hosts), 60); w.write(f'GET /{("config", "", "gradio_api/info", "nothing")[k%4]} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'.encode()); line = await asyncio.wait_for(r.readline(), 120); w.close(); t.saw(line[9:12].decode() or 'closed')
            except (OSError, asyncio.TimeoutError) as e: t.saw(type(e).__name__)
    from defect_nbdev.web.server import raise_files
    raise_files(); await asyncio.gather(*(one(k) for k in range(n))); answered = sum(v for k,v in t.said.items() if k in ('200', '404', '503')); t.must(answered>=.99*n, f'{answered} of {n} got an answer'); return t

if __name__=='__main__':
    a = argparse.ArgumentParser(); a.add_argument('--model', default='neu-lite0'); a.add_argument('--small', type=int, default=10_000); a.add_argument('--out', default=str(Path(__file__).with_suffix('.json'))); a = a.parse_args()
    with tempfile.TemporaryDirectory() as d:
        d = Path(d); p,at,*_ = start(a.model, d, '--ledger', str(d/'ledger.db')); s = Site(at, d, p.pid); good = pngs(1)[0]; out = {}
        async def alive(): 
            async with httpx.AsyncClient(timeout=120) as http: return (await ask(http, at, good, 'good.png'))[0]['label']
        first,memory = asyncio.run(alive()),rss(p.pid)
        for trial in (try_zips, try_paths, try_names, try_active, try_size, try_gone, try_others, lambda s: asyncio.run(try_small(s, a.small))):
            t = trial(s); t.must(p.poll() is None and asyncio.run(alive())==first, 'the page no longer names a good image right'); out[t.name] = t.result(); print(t.name, json.dumps(t.result(), indent=1), flush=True)
        space = s.space; out['all'] = {'trials':len(out), 'requests':sum(v['requests'] for v in out.values()), 'passed':sum(v['passed'] for v in out.values()), 'memory_mb_before':memory, 'memory_mb_after':rss(p.pid)}; p.terminate(); p.wait(60); out['all']['left_behind'] = space.exists(); print(out['all'])
    write_text(a.out, json.dumps(out, indent=1) + '\n'); sys.exit(not all(v.get('passed', True) for k,v in out.items() if k!='all'))

"""Walks the built site in Chromium as a person would, on a desktop in the light and on a phone in the dark: python .ci/look.py [--shots DIR] [--screen NAME]

Wants _proc/_docs from .ci/site.py. Ends with an error that lists every page that complains in its console, is wider than the screen,
lacks its theme, asks another host for something, lacks its search, or whose search does not find the focal loss; --shots keeps a picture of each page."""
import argparse, shutil, sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

SCREENS = {'desktop':(1280, 'light'), 'phone':(390, 'dark')} # name -> width, colours
ALLOWED = ()                    # hosts a page may ask besides its own: none
WIDE = '''() => { const w = document.documentElement.clientWidth, out = [];
  const moves = e => e && e.tagName!='MAIN' && (/auto|scroll/.test(getComputedStyle(e).overflowX) || moves(e.parentElement));
  for (const e of document.querySelectorAll('main *')) if (e.getBoundingClientRect().right>w+1 && !moves(e)) out.push(e.tagName.toLowerCase() + ' .' + e.className);
  return [Math.max(document.documentElement.scrollWidth-w, 0), out.slice(0, 3), getComputedStyle(document.body).getPropertyValue('--bs-primary')] }'''

class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args): pass

def search(page, word='focal'):
    "What the page's own search answers; on a phone it stands behind the menu"
    field = page.locator('.smalldocs-search input, #quarto-search input').first
    if not field.count(): return ['no search field']
    if not field.is_visible(): page.locator('.navbar-toggler').first.click(); field.wait_for(state='visible', timeout=3000)
    field.fill(word)
    hits = page.locator('.smalldocs-search-results a, .aa-Item a').filter(has_text='ocal')
    try: hits.first.wait_for(timeout=5000)
    except Exception: return [f'the search does not find {word}']
    return []

def look(page, url, name, said):
    "Everything wrong with one page at one width"
    said.clear()
    page.goto(url+name, wait_until='load'); page.wait_for_timeout(150)
    over,which,theme = page.evaluate(WIDE)
    bad = list(said) + ([f'wider than the screen: {", ".join(which) or over}'] if over or which else []) + ([] if theme else ['its theme has no colours'])
    return bad + search(page)

def walk(docs, url, chromium, shots):
    from playwright.sync_api import sync_playwright
    names = sorted(o.relative_to(docs).as_posix() for o in docs.rglob('*.html')); bad = []
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=['--no-sandbox'])
        for device,(width,scheme) in SCREENS.items():
            page,said = browser.new_page(viewport={'width':width, 'height':900}, color_scheme=scheme), []
            page.on('console', lambda m: said.append(f'console: {m.text}') if m.type in ('error', 'warning') else None)
            page.on('pageerror', lambda e: said.append(f'error: {e}'))
            page.on('response', lambda r: said.append(f'{r.status}: {r.url}') if r.status>=400 else None)
            page.on('request', lambda r: said.append(f'asks for {r.url}') if not r.url.startswith((url, 'data:', 'blob:', *ALLOWED)) else None)
            for name in names:
                bad += [f'{name}, {device}: {o}' for o in look(page, url, name, said)]
                if shots: page.goto(url+name); page.screenshot(path=shots/f"{name.replace('/', '_')[:-5]}_{device}.png", full_page=True)
            page.close()
        browser.close()
    return names, bad

if __name__=='__main__':
    p = argparse.ArgumentParser(description=__doc__.partition('\n')[0]); p.add_argument('--shots', type=Path, help='folder for a picture of each page at each width')
    p.add_argument('--screen', choices=SCREENS, help='look at this one only'); a = p.parse_args(); shots = a.shots
    if a.screen: SCREENS = {a.screen:SCREENS[a.screen]}
    docs,chromium = Path(__file__).resolve().parents[1]/'_proc'/'_docs', shutil.which('chromium') or shutil.which('google-chrome')
    if not chromium: sys.exit(print('not run: neither Chromium nor Chrome is on this machine'))
    if not (docs/'index.html').is_file(): sys.exit(f'{docs} holds no site; run .ci/site.py first')
    if shots: shots.mkdir(parents=True, exist_ok=True)
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=docs)); Thread(target=server.serve_forever, daemon=True).start()
    names, bad = walk(docs, f'http://127.0.0.1:{server.server_port}/', chromium, shots)
    print('\n'.join(bad) or f'{len(names)} pages walked at {" and ".join(str(w) for w,_ in SCREENS.values())} px: nothing said in the console, nothing too wide, nothing asked of another host, the search finds the focal loss')
    sys.exit(bool(bad))

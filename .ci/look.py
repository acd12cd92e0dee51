"""Walks the built site in Chromium as a person would, on a desktop in the light and on a phone in
the dark: python .ci/look.py [--shots DIR] [--screen NAME]

Wants _proc/_docs from .ci/site.py. Ends with an error that lists every page that complains in its
console, is wider than the screen, lacks its theme or asks another host for something, and every
folder whose first page has no search or one that does not find the focal loss; --shots keeps a
picture of each page.
"""
import argparse
import shutil
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

SCREENS = {'desktop': (1280, 'light'), 'phone': (390, 'dark')} # name -> width, colours
ALLOWED = () # hosts a page may ask besides its own: none
FIELD = '.smalldocs-search input, #quarto-search input'
HITS = '.smalldocs-search-results a, .aa-Item a'
MEASURE = '''() => {
  const root = document.documentElement, width = root.clientWidth, out = [];
  const scrolls = e => e && e.tagName != 'MAIN' &&
    (/auto|scroll/.test(getComputedStyle(e).overflowX) || scrolls(e.parentElement));
  for (const e of document.querySelectorAll('main *'))
    if (e.getBoundingClientRect().right > width + 1 && !scrolls(e))
      out.push(e.tagName.toLowerCase() + ' .' + e.className);
  const theme = getComputedStyle(document.body).getPropertyValue('--bs-primary');
  return [Math.max(root.scrollWidth - width, 0), out.slice(0, 3), theme];
}'''


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args): pass


def search(page, word='focal'):
    "What the page's own search answers; on a phone it stands behind the menu"
    field = page.locator(FIELD).first
    if not field.count(): return ['no search field']
    if not field.is_visible():
        page.locator('.navbar-toggler').first.click()
        field.wait_for(state='visible', timeout=3000)
    field.fill(word)
    hits = page.locator(HITS).filter(has_text='ocal')
    try: hits.first.wait_for(timeout=5000)
    except Exception: return [f'the search does not find {word}']
    return []


def look(page, url, name, messages, with_search):
    "Everything wrong with one page at one width"
    messages.clear()
    page.goto(url + name, wait_until='load')
    page.wait_for_timeout(150)
    over, which, theme = page.evaluate(MEASURE)
    bad = list(messages)
    if over or which: bad.append(f'wider than the screen: {", ".join(which) or over}')
    if not theme: bad.append('its theme has no colours')
    return bad + (search(page) if with_search else [])


def open_page(browser, url, width, scheme):
    "A page whose complaints and requests are written down: (page, messages)"
    page = browser.new_page(viewport={'width': width, 'height': 900}, color_scheme=scheme)
    messages = []
    own = (url, 'data:', 'blob:', *ALLOWED)

    def on_console(message):
        if message.type in ('error', 'warning'): messages.append(f'console: {message.text}')

    def on_response(response):
        if response.status >= 400: messages.append(f'{response.status}: {response.url}')

    def on_request(request):
        if not request.url.startswith(own): messages.append(f'asks for {request.url}')

    page.on('console', on_console)
    page.on('pageerror', lambda error: messages.append(f'error: {error}'))
    page.on('response', on_response)
    page.on('request', on_request)
    return page, messages


def walk(docs, url, chromium, screens, shots):
    "Look at every page on every screen: (names, what is wrong)"
    from playwright.sync_api import sync_playwright
    names = sorted(o.relative_to(docs).as_posix() for o in docs.rglob('*.html'))
    # all pages share one index: the first page of each folder searches it
    firsts = {name.rpartition('/')[0]: name for name in reversed(names)}
    bad = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=['--no-sandbox'])
        for device, (width, scheme) in screens.items():
            page, messages = open_page(browser, url, width, scheme)
            for name in names:
                found = look(page, url, name, messages, name in firsts.values())
                bad += [f'{name}, {device}: {o}' for o in found]
                if not shots: continue
                page.goto(url + name)
                shot = shots/f"{name.replace('/', '_')[:-5]}_{device}.png"
                page.screenshot(path=shot, full_page=True)
            page.close()
        browser.close()
    return names, bad


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n\n')[0])
    parser.add_argument('--shots', type=Path, help='folder for a picture of each page')
    parser.add_argument('--screen', choices=SCREENS, help='look at this one only')
    args = parser.parse_args()
    screens = {args.screen: SCREENS[args.screen]} if args.screen else SCREENS
    docs = Path(__file__).resolve().parents[1]/'_proc'/'_docs'
    chromium = shutil.which('chromium') or shutil.which('google-chrome')
    if not chromium:
        print('not run: neither Chromium nor Chrome is on this machine')
        return 0
    if not (docs/'index.html').is_file():
        raise SystemExit(f'{docs} holds no site; run .ci/site.py first')
    if args.shots: args.shots.mkdir(parents=True, exist_ok=True)
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=docs))
    Thread(target=server.serve_forever, daemon=True).start()
    url = f'http://127.0.0.1:{server.server_port}/'
    names, bad = walk(docs, url, chromium, screens, args.shots)
    widths = ' and '.join(str(width) for width, _ in screens.values())
    good = (f'{len(names)} pages walked at {widths} px: nothing said in the console, nothing too '
            'wide, nothing asked of another host, the search finds the focal loss')
    print('\n'.join(bad) or good)
    return int(bool(bad))


if __name__ == '__main__': sys.exit(main())

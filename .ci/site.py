"""Builds the documentation site into _proc/_docs and checks it, without Quarto: python .ci/site.py

The same two steps as the published site (nbdev prepares the pages, a renderer that reads _quarto.yml writes them), with
smalldocs in Quarto's place. Ends with an error that lists every missing page, picture, sidebar entry and link."""
import json, re, sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag
import nbdev.quarto
from nbdev.config import get_config
from smalldocs.site import build

SPINE = '00_data 01_model 02_loss 03_train 04_gradcam 05_app'.split()

class Page(HTMLParser):
    "The links, pictures, anchors and sidebar entries of one page"
    def __init__(self, path):
        super().__init__()
        self.links, self.images, self.ids, self.sidebar, self.inside = [], [], set(), [], 0
        self.feed(path.read_text(encoding='utf-8'))

    def handle_starttag(self, tag, attrs):
        a = dict(attrs)
        if 'id' in a: self.ids.add(a['id'])
        if tag=='nav' and (self.inside or 'sidebar' in (a.get('id') or '')): self.inside += 1
        if tag=='img': self.images.append(a.get('src') or '')
        if tag in ('a','link') and a.get('href'): self.links.append(a['href'])
        if tag=='script' and a.get('src'): self.links.append(a['src'])
        if tag=='a' and self.inside and a.get('href'): self.sidebar.append(a['href'])

    def handle_endtag(self, tag):
        if tag=='nav' and self.inside: self.inside -= 1

def prepare():
    "nbdev's part: every notebook becomes a page in _proc, its links to our own site become links between pages"
    nbdev.quarto._ensure_quarto = lambda: None       # nothing below calls Quarto
    nbdev.quarto.nbdev_proc_nbs(n_workers=0)
    cfg = get_config(); proc = cfg.config_path/'_proc'
    pages = sorted(o.relative_to(proc) for o in proc.rglob('*.ipynb') if not o.relative_to(proc).parts[0].startswith(('_','.')))
    ours = {re.sub(r'^\d+[a-zA-Z0-9]*_', '', o.stem.lower()): o for o in pages}
    site = re.escape(f'{cfg.doc_host}{cfg.doc_baseurl}/')
    for page in pages:
        text = (proc/page).read_text(encoding='utf-8')
        local = lambda m: f"{'../'*(len(page.parts)-1)}{ours[m[1]]}" if m[1] in ours else m[0]
        new = re.sub(site + r'([\w-]+)\.html', local, text)
        if new != text: (proc/page).write_text(new, encoding='utf-8')
    return proc, pages

def pictures(nb): return sum(any(k.startswith('image/') for k in o.get('data', {})) for c in nb['cells'] for o in c.get('outputs', []))

def check_links(docs, html, name):
    "Every local address on a page leads to a file of the site, and every fragment to an anchor"
    own, bad = get_config().doc_host + get_config().doc_baseurl, []
    for href in [*html[name].links, *html[name].images]:
        if href.startswith(own) and '.html' in href: bad.append(f'{name}: {href} is not a page of this site')
        if re.match(r'[a-z][a-z0-9+.-]*:|//', href, re.I): continue
        path, fragment = urldefrag(href)
        path = path.split('?')[0]
        target = (docs/name).parent/unquote(path) if path else docs/name
        if target.is_dir(): target = target/'index.html'
        if not target.is_file(): bad.append(f'{name}: {href} leads nowhere')
        elif fragment and target.suffix=='.html':
            rel = target.resolve().relative_to(docs).as_posix()
            if rel in html and unquote(fragment).lower() not in {o.lower() for o in html[rel].ids}: bad.append(f'{name}: no anchor {href}')
    return bad

def check(proc, pages, warnings):
    "Lists what is wrong with the rendered site"
    docs = (proc/get_config().doc_path.name).resolve()
    html = {o.relative_to(docs).as_posix(): Page(o) for o in docs.rglob('*.html')}
    bad = [o for o in warnings if 'output-file' not in o]          # nbdev names each page for Quarto; smalldocs keeps the notebook's name
    source = {o.name for o in get_config().nbs_path.glob('*.ipynb') if o.name[0] not in '._'}
    bad += [f'{o} has no page' for o in source - {o.name for o in pages}]
    for page in pages:
        name = page.with_suffix('.html').as_posix()
        if name not in html: bad.append(f'{name} was not rendered'); continue
        want = pictures(json.loads((proc/page).read_text(encoding='utf-8')))
        if len(html[name].images) < want: bad.append(f'{name} shows {len(html[name].images)} of its {want} pictures')
        if want==0 and page.stem in ['index', *SPINE]: bad.append(f'{name} has no picture')
        bad += check_links(docs, html, name)
    listed = list(dict.fromkeys(Path(urldefrag(o)[0]).stem for o in html['index.html'].sidebar if not re.match(r'\w+:', o)))
    top = [o.stem for o in pages if len(o.parts)==1 and o.stem!='index']
    if missing := [o for o in SPINE if o not in top]: bad.append(f'steps without a page: {missing}')
    if [o for o in listed if o in top] != sorted(top) or listed[:1] != ['index']: bad.append(f'the sidebar lists {listed}, expected index, then {sorted(top)}')
    return bad

if __name__=='__main__':
    proc, pages = prepare()
    bad = check(proc, pages, build(proc, quiet=True).warnings)
    print('\n'.join(bad) or f'{len(pages)} pages, all with their pictures, in order, no broken links')
    sys.exit(bool(bad))

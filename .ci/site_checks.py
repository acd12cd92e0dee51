"""The checks of the rendered site that need no browser; .ci/site.py calls them, .ci/look.py has
those that need one. Run alone it counts type hints: python .ci/site_checks.py
"""
import ast
import html
import json
import re
from collections import defaultdict
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

from nbdev.config import get_config

SPINE = '00_data 01_model 02_loss 03_train 04_gradcam 05_app'.split()
# smalldocs warns of these: two are for Quarto, nbdev names pages for it, links are checked below
PASSED = 'output-file', 'html-math-method', 'format.html.grid', 'broken link'
LINKED = re.compile(r'\[`([^`]*)`\]\([^)]*\)')
MATH = re.compile(r'(<span class="math (inline|display)">)\\[(\[](.*?)\\[)\]]</span>', re.S)
# a web font; its address has semicolons of its own
FONTS = re.compile(r'@import\s*(?:url\(\s*["\']?https?://[^)]*\)'
                   r'|"https?://[^"]*"|\'https?://[^\']*\')[^;]*;')
ENTRY = re.compile(r'<a href="([^"#]*)#L(\w+)"[^>]*>source</a></p>\s*'
                   r'<h3 [^>]*>([^<]+)</h3>(.*?)</pre>', re.S)


def modules():
    "Each notebook's generated module: page -> (file, its text, its syntax tree)"
    out = {}
    for file in sorted(get_config().lib_path.rglob('*.py')):
        text = file.read_text(encoding='utf-8')
        source = re.search(r'File to edit: (?:\.\./)+nbs/(.*)\.ipynb', text)
        if source: out[source[1]] = file, text, ast.parse(text)
    return out


def parameters(node):
    "The parameters of a function or of a class that want a comment"
    function = node
    if isinstance(node, ast.ClassDef):
        found = [o for o in node.body if getattr(o, 'name', '') == '__init__']
        if not found: return [o.target.id for o in node.body if isinstance(o, ast.AnnAssign)]
        function = found[0]
    args = [*function.args.args, *function.args.kwonlyargs]
    return [o.arg for o in args if o.arg != 'self']


def symbols(tree):
    "(name, node, parameters) of the public functions, classes and patched methods of a module"
    for node in tree.body:
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)): continue
        if node.name.startswith('_'): continue
        names = parameters(node)
        if not any(ast.unparse(o).split('(')[0] == 'patch' for o in node.decorator_list):
            yield node.name, node, names
            continue
        cls = ast.unparse(node.args.args[0].annotation)
        if not cls.startswith('_'):
            yield f'{cls}.{node.name}', node, [o for o in names if o != 'cls']


class Page(HTMLParser):
    "The links, pictures, anchors and sidebar entries of a page, and what it asks for by itself"
    def __init__(self, path):
        super().__init__()
        self.text = path.read_text(encoding='utf-8')
        self.links, self.images, self.requests, self.sidebar = [], [], [], []
        self.ids = set()
        self.depth = 0 # of nested nav elements inside the sidebar
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        source, href = attrs.get('src'), attrs.get('href')
        if 'id' in attrs: self.ids.add(attrs['id'].lower())
        if tag == 'nav' and (self.depth or 'sidebar' in (attrs.get('id') or '')): self.depth += 1
        if tag == 'img': self.images.append(source or '')
        if tag == 'script' and source: self.links.append(source)
        if tag in ('a', 'link') and href: self.links.append(href)
        if tag == 'a' and href and self.depth: self.sidebar.append(href)
        stylesheet = tag == 'link' and 'stylesheet' in (attrs.get('rel') or '')
        if source or stylesheet: self.requests.append(source or href)

    def handle_endtag(self, tag):
        if tag == 'nav' and self.depth: self.depth -= 1


def wrong_link(href, name, docs, pages):
    "What is wrong with an address on a page, None if nothing"
    cfg = get_config()
    path, fragment = urldefrag(href)
    blob = f'{cfg.git_url}/blob/{cfg.branch}/'
    if href.startswith(cfg.doc_host + cfg.doc_baseurl) and '.html' in href:
        return f'{href} is not a page of this site'
    if href.startswith(blob) and not (cfg.config_path/path.removeprefix(blob)).exists():
        return f'{path} is not in the repository'
    if re.match(r'[a-z][a-z0-9+.-]*:|//', href, re.I): return None
    path = path.split('?')[0]
    target = ((docs/name).parent/unquote(path) if path else docs/name).resolve()
    if target.is_dir(): target = target/'index.html'
    relative = target.relative_to(docs).as_posix() if target.is_relative_to(docs) else href
    if not target.is_file(): return f'{relative} is not there'
    if fragment and relative in pages and unquote(fragment).lower() not in pages[relative].ids:
        return f'{relative} has no anchor {fragment}'
    return None


def check_links(docs, pages):
    "Every local address leads to a file, every fragment to an anchor"
    bad = defaultdict(list)
    for name, page in pages.items():
        for href in dict.fromkeys([*page.links, *page.images]):
            what = wrong_link(href, name, docs, pages)
            if what: bad[what].append(name)
    return [f'{what}: linked from {names[0]}' + (f' and {len(names)-1} more' if names[1:] else '')
            for what, names in bad.items()]


def commented(signature, params):
    "The parameters that have a comment: of a line that ends in one, the only parameter"
    text = html.unescape(re.sub(r'<(?!factory)[^>]+>', '', signature))
    out = set()
    for line in text.split('\n'):
        head, _, tail = line.partition(' #')
        names = [p for p in params if re.search(rf'(^\s+|, )\**{p}[:=,]', head)]
        if len(names) == 1 and (tail or re.search(r'<[^>]+>(=[^,]*)?,?$', head)): out.add(names[0])
    return out


def check_symbol(at, entry, file, text, symbol):
    "What is wrong with the entry of one public symbol"
    name, node, params = symbol
    bad = [] if ast.get_docstring(node) else [f'{at}: {name} has no docstring']
    if not entry: return [*bad, f'{at}: {name} has no entry']
    ours = entry[1].endswith(f'/{file.name}') and entry[2].isdigit()
    line = text.split('\n')[int(entry[2])-1] if ours else ''
    if not re.match(rf'(def|class) {node.name}\b', line):
        bad.append(f'{at}: the source of {name} is not {entry[1]}#L{entry[2]}')
    known = commented(entry[4], params)
    without = [p for p in params if p not in known]
    if without: bad.append(f'{at}: {name} has no comment on {", ".join(without)}')
    return bad


def check_api(pages):
    "Every public symbol stands on its page, documented, with a link to its line"
    bad = []
    for name, (file, text, tree) in modules().items():
        at = f'{name}.html'
        entries = {o[3]: o for o in ENTRY.finditer(pages[at].text)} if at in pages else {}
        for symbol in symbols(tree):
            bad += check_symbol(at, entries.get(symbol[0]), file, text, symbol)
    return bad


def pictures(path):
    "How many pictures a notebook's outputs hold"
    cells = json.loads(path.read_text(encoding='utf-8'))['cells']
    outputs = [o.get('data', {}) for c in cells for o in c.get('outputs', [])]
    return sum(any(kind.startswith('image/') for kind in data) for data in outputs)


def check_page(name, page, source, want):
    "What is wrong with one page; `want` pictures stand in its notebook"
    bad = []
    if len(page.images) < want: bad.append(f'{name} shows {len(page.images)} of {want} pictures')
    if '&lt;Figure size' in page.text: bad.append(f'{name} names a figure that was not kept')
    if want == 0 and source.stem in ['index', *SPINE]: bad.append(f'{name} has no picture')
    bad += [f'{name} asks for {o}' for o in page.requests if re.match(r'(https?:)?//', o)]
    bad += [f'{name} shows a link in code: {m[0]}' for m in LINKED.finditer(page.text)]
    bad += [f'{name} shows a formula as TeX: {m[3]}' for m in MATH.finditer(page.text)]
    return bad


def check_sidebar(pages):
    "The steps stand in the sidebar in their order, and every other page stands there, too"
    links = [urldefrag(o)[0] for o in pages['index.html'].sidebar if not re.match(r'\w+:', o)]
    listed = list(dict.fromkeys(Path(o).as_posix() for o in links))
    steps = sorted(o for o in pages if '/' not in o and o != 'index.html')
    bad = [f'{o}.html has no page' for o in SPINE if f'{o}.html' not in steps]
    if [o for o in listed if o in steps] != steps or listed[:1] != ['index.html']:
        bad.append(f'the sidebar lists {listed}, expected index, then {steps}')
    missing = sorted({o for o in pages if '/' in o} - set(listed))
    return bad + ([f'the sidebar lacks {missing}'] if missing else [])


def check_files(docs, pages):
    "Style sheets, search and the Markdown files at the root"
    cfg = get_config()
    bad = []
    for file in docs.rglob('*.css'):
        fonts = FONTS.finditer(file.read_text(encoding='utf-8'))
        bad += [f'{file.relative_to(docs)} asks for {m[0]}' for m in fonts]
    entries = json.loads((docs/'search.json').read_text(encoding='utf-8'))
    searched = {o['href'].split('#')[0] for o in entries}
    bad += [f'the search does not know {o}' for o in pages if o not in searched]
    for file in cfg.config_path.glob('*.md'):
        links = re.findall(r'\]\(([^)#:]+)[^):]*\)', file.read_text(encoding='utf-8'))
        bad += [f'{file.name}: {o} is not there' for o in dict.fromkeys(links)
                if not (cfg.config_path/o).exists()]
    return bad


def check(docs, proc, sources, warnings):
    "Lists what is wrong with the rendered site"
    nbs = get_config().nbs_path
    docs = docs.resolve()
    pages = {o.relative_to(docs).as_posix(): Page(o) for o in sorted(docs.rglob('*.html'))}
    bad = [o for o in warnings if not any(k in o for k in PASSED)]
    notebooks = {o.relative_to(nbs) for o in nbs.rglob('*.ipynb')}
    notebooks = {o for o in notebooks if not any(p[0] in '._' for p in o.parts)}
    bad += [f'{o} has no page' for o in notebooks - set(sources)]
    for source in sources:
        name = source.with_suffix('.html').as_posix()
        if name in pages: bad += check_page(name, pages[name], source, pictures(proc/source))
        else: bad.append(f'{name} was not rendered')
    bad += check_files(docs, pages) + check_sidebar(pages)
    return bad + check_links(docs, pages) + check_api(pages)


def count_hints():
    "How complete the type hints are, as a sentence"
    found = [(name, node) for _, _, tree in modules().values() for name, node, _ in symbols(tree)]
    functions = [(name, node) for name, node in found if isinstance(node, ast.FunctionDef)]
    args = [a for _, o in functions for a in [*o.args.args, *o.args.kwonlyargs]]
    args = [a for a in args if a.arg not in ('self', 'cls')]
    hinted = sum(a.annotation is not None for a in args)
    returns = sum(o.returns is not None for _, o in functions)
    patched = sum('.' in name for name, _ in functions)
    return (f'annotated: {hinted} of {len(args)} public parameters, {returns} of {len(functions)} '
            f'returns; methods added with @patch: {patched}')


if __name__ == '__main__': print(count_hints())

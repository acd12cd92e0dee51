"The checks of the rendered site that need no browser; .ci/site.py calls them, .ci/look.py has those that need one. Alone it counts type hints."
import ast, html, json, re
from collections import defaultdict
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag
from nbdev.config import get_config

SPINE = '00_data 01_model 02_loss 03_train 04_gradcam 05_app'.split()
NOT_HERE = 'output-file', 'html-math-method', 'format.html.grid', 'broken link'     # smalldocs warns: two are for Quarto, nbdev names pages for it, and links are checked below
LINKED = re.compile(r'\[`([^`]*)`\]\([^)]*\)')
MATH = re.compile(r'(<span class="math (inline|display)">)\\[(\[](.*?)\\[)\]]</span>', re.S)
FONTS = re.compile(r'@import\s*(?:url\(\s*["\']?https?://[^)]*\)|"https?://[^"]*"|\'https?://[^\']*\')[^;]*;')      # the address has semicolons of its own
ENTRY = re.compile(r'<a href="([^"#]*)#L(\w+)"[^>]*>source</a></p>\s*<h3 [^>]*>([^<]+)</h3>(.*?)</pre>', re.S)

def modules():
    "Each notebook's generated module: page -> (file, its text, its syntax tree)"
    out = {}
    for f in sorted(get_config().lib_path.rglob('*.py')):
        text = f.read_text(encoding='utf-8')
        if m := re.search(r'File to edit: (?:\.\./)+nbs/(.*)\.ipynb', text): out[m[1]] = (f, text, ast.parse(text))
    return out

def symbols(tree):
    "The public functions, classes and patched methods of a module: (name, node, the parameters that want a comment)"
    for o in tree.body:
        if not isinstance(o, (ast.FunctionDef, ast.ClassDef)) or o.name[0]=='_': continue
        f = next((x for x in o.body if getattr(x, 'name', '')=='__init__'), None) if isinstance(o, ast.ClassDef) else o
        params = [p.arg for p in [*f.args.args, *f.args.kwonlyargs] if p.arg!='self'] if f else [x.target.id for x in o.body if isinstance(x, ast.AnnAssign)]
        if not any(ast.unparse(d).split('(')[0]=='patch' for d in o.decorator_list): yield o.name, o, params
        elif (cls := ast.unparse(o.args.args[0].annotation))[0]!='_': yield f'{cls}.{o.name}', o, [p for p in params if p!='cls']

class Page(HTMLParser):
    "The links, pictures, anchors and sidebar entries of one page, and what it asks for by itself"
    def __init__(self, path):
        super().__init__()
        self.text = path.read_text(encoding='utf-8')
        self.links, self.images, self.asked, self.ids, self.sidebar, self.inside = [], [], [], set(), [], 0
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        a = dict(attrs)
        if 'id' in a: self.ids.add(a['id'].lower())
        if tag=='nav' and (self.inside or 'sidebar' in (a.get('id') or '')): self.inside += 1
        if tag=='img': self.images.append(a.get('src') or '')
        if tag in ('a','link') and a.get('href'): self.links.append(a['href'])
        if tag=='script' and a.get('src'): self.links.append(a['src'])
        if a.get('src') or tag=='link' and 'stylesheet' in (a.get('rel') or ''): self.asked.append(a.get('src') or a.get('href'))
        if tag=='a' and self.inside and a.get('href'): self.sidebar.append(a['href'])

    def handle_endtag(self, tag):
        if tag=='nav' and self.inside: self.inside -= 1

def check_links(docs, pages):
    "Every local address leads to a file of the site, every fragment to an anchor, every link into the repository to a file"
    cfg = get_config(); own,blob,bad = cfg.doc_host+cfg.doc_baseurl, f'{cfg.git_url}/blob/{cfg.branch}/', defaultdict(list)
    for name,page in pages.items():
        for href in dict.fromkeys([*page.links, *page.images]):
            path,fragment = urldefrag(href)
            if href.startswith(own) and '.html' in href: bad[f'{href} is not a page of this site'].append(name)
            if href.startswith(blob) and not (cfg.config_path/path.removeprefix(blob)).exists(): bad[f'{path} is not in the repository'].append(name)
            if re.match(r'[a-z][a-z0-9+.-]*:|//', href, re.I): continue
            path = path.split('?')[0]
            target = ((docs/name).parent/unquote(path) if path else docs/name).resolve()
            if target.is_dir(): target = target/'index.html'
            rel = target.relative_to(docs).as_posix() if target.is_relative_to(docs) else href
            if not target.is_file(): bad[f'{rel} is not there'].append(name)
            elif fragment and rel in pages and unquote(fragment).lower() not in pages[rel].ids: bad[f'{rel} has no anchor {fragment}'].append(name)
    return [f'{what}: linked from {names[0]}' + f' and {len(names)-1} more'*(len(names)>1) for what,names in bad.items()]

def commented(signature, params):
    "The parameters that have a comment: of a line that ends in one, the only parameter"
    lines = [(head, tail) for head,_,tail in (o.partition(' #') for o in html.unescape(re.sub(r'<(?!factory)[^>]+>', '', signature)).split('\n'))]
    held = [([p for p in params if re.search(rf'(^\s+|, )\**{p}[:=,]', head)], tail or re.search(r'<[^>]+>(=[^,]*)?,?$', head)) for head,tail in lines]
    return {names[0] for names,tail in held if tail and len(names)==1}

def check_api(pages):
    "Every public symbol stands on its notebook's page, with a docstring of its own, a comment on each parameter, and a link to its line"
    bad = []
    for name,(file,text,tree) in modules().items():
        at = f'{name}.html'; entries = {m[3]:m for m in ENTRY.finditer(pages[at].text)} if at in pages else {}
        for sym,node,params in symbols(tree):
            if not ast.get_docstring(node): bad.append(f'{at}: {sym} has no docstring')
            if not (m := entries.get(sym)): bad.append(f'{at}: {sym} has no entry'); continue
            line = text.split('\n')[int(m[2])-1] if m[1].endswith(f'/{file.name}') and m[2].isdigit() else ''
            if not re.match(rf'(def|class) {node.name}\b', line): bad.append(f'{at}: the source of {sym} is not {m[1]}#L{m[2]}')
            if without := [p for p in params if p not in commented(m[4], params)]: bad.append(f'{at}: {sym} has no comment on {", ".join(without)}')
    return bad

def pictures(nb): return sum(any(k.startswith('image/') for k in o.get('data', {})) for c in nb['cells'] for o in c.get('outputs', []))

def check(docs, proc, sources, said):
    "Lists what is wrong with the rendered site"
    cfg,docs = get_config(),docs.resolve()
    pages = {o.relative_to(docs).as_posix(): Page(o) for o in sorted(docs.rglob('*.html'))}
    bad = [o for o in said if not any(k in o for k in NOT_HERE)]
    notebooks = {o.relative_to(cfg.nbs_path) for o in cfg.nbs_path.rglob('*.ipynb') if not any(p[0] in '._' for p in o.relative_to(cfg.nbs_path).parts)}
    bad += [f'{o} has no page' for o in notebooks - set(sources)]
    for source in sources:
        name = source.with_suffix('.html').as_posix()
        if name not in pages: bad.append(f'{name} was not rendered'); continue
        p,want = pages[name],pictures(json.loads((proc/source).read_text(encoding='utf-8')))
        if len(p.images) < want: bad.append(f'{name} shows {len(p.images)} of its {want} pictures')
        if '&lt;Figure size' in p.text: bad.append(f'{name} names a figure that was not kept; run its notebook again')
        if want==0 and source.stem in ['index', *SPINE]: bad.append(f'{name} has no picture')
        bad += [f'{name} asks for {o}' for o in p.asked if re.match(r'(https?:)?//', o)]
        bad += [f'{name} shows a link in code: {m[0]}' for m in LINKED.finditer(p.text)] + [f'{name} shows a formula as TeX: {m[3]}' for m in MATH.finditer(p.text)]
    bad += [f'{o.relative_to(docs)} asks for {m[0]}' for o in docs.rglob('*.css') for m in FONTS.finditer(o.read_text(encoding='utf-8'))]
    searched = {o['href'].split('#')[0] for o in json.loads((docs/'search.json').read_text(encoding='utf-8'))}
    bad += [f'the search does not know {o}' for o in pages if o not in searched]
    listed = list(dict.fromkeys(Path(urldefrag(o)[0]).as_posix() for o in pages['index.html'].sidebar if not re.match(r'\w+:', o)))
    steps,rooms = sorted(o for o in pages if '/' not in o and o!='index.html'), {o for o in pages if '/' in o}
    if missing := [o for o in SPINE if f'{o}.html' not in steps]: bad.append(f'steps without a page: {missing}')
    if [o for o in listed if o in steps]!=steps or listed[:1]!=['index.html']: bad.append(f'the sidebar lists {listed}, expected index, then {steps}')
    if rooms - set(listed): bad.append(f'the sidebar lacks {sorted(rooms - set(listed))}')
    for f in cfg.config_path.glob('*.md'):
        bad += [f'{f.name}: {o} is not there' for o in dict.fromkeys(re.findall(r'\]\(([^)#:]+)[^):]*\)', f.read_text(encoding='utf-8'))) if not (cfg.config_path/o).exists()]
    return bad + check_links(docs, pages) + check_api(pages)

if __name__=='__main__': # how complete the hints are: python .ci/site_checks.py
    fs = [(name, o) for _,_,tree in modules().values() for name,o,_ in symbols(tree) if isinstance(o, ast.FunctionDef)]
    args = [a.annotation for _,o in fs for a in [*o.args.args, *o.args.kwonlyargs] if a.arg not in ('self','cls')]; hinted = lambda x: f'{sum(o is not None for o in x)} of {len(x)}'
    print(f"annotated: {hinted(args)} public parameters, {hinted([o.returns for _,o in fs])} returns; methods added with @patch: {sum('.' in name for name,_ in fs)}")

"""Builds the documentation site into _proc/_docs and checks it, without Quarto: python .ci/site.py

nbdev prepares the pages, and a renderer that reads _quarto.yml writes them: smalldocs here, Quarto for the published site, whose
workflow calls `--prepare` before Quarto and `--finish` after it. What is checked stands in site_checks.py."""
import ast, html, inspect, json, re, sys
from dataclasses import is_dataclass
import fastcore.docments
import nbdev.quarto
from fastcore.basics import AttrDict
from nbdev.config import get_config
from site_checks import FONTS, LINKED, MATH, check, modules, symbols

FENCE,SOURCE = re.compile(r'^```.*?^```', re.M|re.S), re.compile(r'(\[source\]\()[^)]*(\).*\n\n### (\S+)\n)')
KATEX = re.compile(r'<link [^>]*katex[^>]*>|<script [^>]*katex[^>]*></script>')

def field_comments(text, cls):
    "The comments of a class's fields: name -> what stands behind its #"
    lines = text.split('\n')
    return {o.target.id:c.strip() for o in cls.body if isinstance(o, ast.AnnAssign) and (c := lines[o.end_lineno-1].encode()[o.end_col_offset:].decode().partition('#')[2])}

def comment_fields():
    "fastcore finds no comments for a dataclass defined in a notebook's shell, and no fields for a NamedTuple: it is told both"
    known,of = fastcore.docments.docments, {o.name:field_comments(text, o) for _,text,tree in modules().values() for o in tree.body if isinstance(o, ast.ClassDef)}
    def docments(s, **kw):
        if not inspect.isclass(s) or not (is_dataclass(s) or hasattr(s, '_fields')): return known(s, **kw)
        return AttrDict({k:AttrDict(docment=of.get(s.__name__, {}).get(k), anno=p.annotation, default=p.default, kind=p.kind) for k,p in inspect.signature(s).parameters.items()})
    fastcore.docments.docments = docments

def doc_name(page):
    "What nbdev calls a page: strip/05_scan.ipynb is strip/scan"
    return page.with_name(re.sub(r'^\d+[a-zA-Z0-9]*_', '', page.stem.lower())).as_posix()

class Mend:
    "Links in the Markdown of one page, as nbdev wrote it"
    def __init__(self, page, pages, module):
        cfg = get_config(); self.up,self.own = '../'*(len(page.parts)-1), {}
        self.ours = {doc_name(o):o for o in pages}
        self.site = re.compile(re.escape(f'{cfg.doc_host}{cfg.doc_baseurl}/') + r'([\w/-]+)\.html')
        if module:
            file,_,tree = module
            self.page,self.own = page.name, {name:f'{cfg.git_url}/blob/{cfg.branch}/{file.relative_to(cfg.config_path).as_posix()}#L{node.lineno}' for name,node,_ in symbols(tree)}

    def __call__(self, text):
        text = self.site.sub(lambda m: f'{self.up}{self.ours[m[1]]}' if m[1] in self.ours else m[0], text)
        text = FENCE.sub(lambda m: LINKED.sub(r'\1', m[0]), text)                   # inside a signature a link is only brackets
        text = LINKED.sub(lambda m: f'[`{m[1]}`]({self.page}#{m[1].lower()})' if m[1] in self.own else m[0], text)      # of two functions with one name, this page's
        return SOURCE.sub(lambda m: f'{m[1]}{self.own[m[3]]}{m[2]}' if m[3] in self.own else m[0], text)

def prepare():
    "nbdev's part: every notebook becomes a page in _proc, its links to our own site become links between pages"
    comment_fields()
    nbdev.quarto._ensure_quarto = lambda: None       # nothing below calls Quarto
    nbdev.quarto.nbdev_proc_nbs(n_workers=0)
    proc,mods = get_config().config_path/'_proc', modules()
    pages = sorted(o.relative_to(proc) for o in proc.rglob('*.ipynb') if not o.relative_to(proc).parts[0].startswith(('_','.')))
    for page in pages:
        mend,nb = Mend(page, pages, mods.get(page.with_suffix('').as_posix())), json.loads((proc/page).read_text(encoding='utf-8'))
        for c in nb['cells']:
            if c['cell_type']=='markdown': c['source'] = mend(''.join(c['source']))
            for o in c.get('outputs', []):
                if md := o.get('data', {}).get('text/markdown'): o['data']['text/markdown'] = mend(''.join(md))
        (proc/page).write_text(json.dumps(nb, ensure_ascii=False), encoding='utf-8')
    return proc, pages

def finish(docs):
    "No page asks another host for anything: themes without web fonts, formulas as MathML"
    for f in docs.rglob('*.css'):
        text = f.read_text(encoding='utf-8')
        if FONTS.search(text): f.write_text(FONTS.sub('', text), encoding='utf-8')
    for f in docs.rglob('*.html'):
        text = f.read_text(encoding='utf-8')
        if not MATH.search(text): continue
        from latex2mathml.converter import convert
        def mathml(m): return f"{m[1]}{convert(html.unescape(m[3]), display='block' if m[2]=='display' else 'inline')}</span>"
        f.write_text(KATEX.sub('', MATH.sub(mathml, text)), encoding='utf-8')

if __name__=='__main__':
    docs = get_config().config_path/'_proc'/get_config().doc_path.name
    if sys.argv[1:]==['--finish']: sys.exit(finish(docs))
    proc,sources = prepare()
    if sys.argv[1:]==['--prepare']: sys.exit()
    from smalldocs.site import build
    said = build(proc, quiet=True).warnings
    finish(docs)
    bad = check(docs, proc, sources, said)
    print('\n'.join(bad) or f'{len(sources)} pages, all with their pictures and their API, in order, no broken links, nothing asked of another host')
    sys.exit(bool(bad))

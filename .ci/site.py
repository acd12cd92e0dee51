"""Builds the documentation site into _proc/_docs and checks it, without Quarto: python .ci/site.py

nbdev prepares the pages, and a renderer that reads _quarto.yml writes them: smalldocs here, Quarto
for the published site, whose workflow calls `--prepare` before Quarto and `--finish` after it.
What is checked stands in site_checks.py.
"""
import ast
import html
import inspect
import json
import re
import sys
from dataclasses import is_dataclass

import fastcore.docments
import nbdev.quarto
from fastcore.basics import AttrDict
from nbdev.config import get_config
from site_checks import FONTS, LINKED, MATH, check, modules, symbols

FENCE = re.compile(r'^```.*?^```', re.M | re.S)
SOURCE = re.compile(r'(\[source\]\()[^)]*(\).*\n\n### (\S+)\n)')
KATEX = re.compile(r'<link [^>]*katex[^>]*>|<script [^>]*katex[^>]*></script>')


def field_comments(text, cls):
    "The comments of a class's fields: name -> what stands behind its #"
    lines = text.split('\n')
    out = {}
    for node in cls.body:
        if not isinstance(node, ast.AnnAssign): continue
        rest = lines[node.end_lineno-1].encode()[node.end_col_offset:].decode()
        comment = rest.partition('#')[2]
        if comment: out[node.target.id] = comment.strip()
    return out


def comment_fields():
    "fastcore finds no comments of dataclasses in notebooks, and no fields of a NamedTuple"
    known = fastcore.docments.docments
    comments = {}
    for _, text, tree in modules().values():
        for node in tree.body:
            if not isinstance(node, ast.ClassDef): continue
            comments.setdefault(node.name, []).append(field_comments(text, node))

    def docments(symbol, **kw):
        fields = inspect.isclass(symbol) and (is_dataclass(symbol) or hasattr(symbol, '_fields'))
        if not fields: return known(symbol, **kw)
        parameters = inspect.signature(symbol).parameters
        # of several classes of one name, the one with these fields
        own = max(comments.get(symbol.__name__, [{}]), key=lambda o: len(o.keys() & parameters))
        out = AttrDict()
        for name, p in parameters.items():
            out[name] = AttrDict(
                docment=own.get(name), anno=p.annotation, default=p.default, kind=p.kind)
        return out
    fastcore.docments.docments = docments


def doc_name(page):
    "What nbdev calls a page: strip/05_scan.ipynb is strip/scan"
    return page.with_name(re.sub(r'^\d+[a-zA-Z0-9]*_', '', page.stem.lower())).as_posix()


class Mend:
    "Links in the Markdown of one page, as nbdev wrote it"
    def __init__(self, page, pages, module):
        cfg = get_config()
        self.up = '../'*(len(page.parts)-1)
        self.own = {}
        self.pages = {doc_name(o): o for o in pages}
        host = re.escape(f'{cfg.doc_host}{cfg.doc_baseurl}/')
        self.site = re.compile(host + r'([\w/-]+)\.html')
        if not module: return
        file, _, tree = module
        self.page = page.name
        path = file.relative_to(cfg.config_path).as_posix()
        blob = f'{cfg.git_url}/blob/{cfg.branch}/{path}'
        self.own = {name: f'{blob}#L{node.lineno}' for name, node, _ in symbols(tree)}

    def page_link(self, match):
        "A link to our published site becomes a link between pages"
        return f'{self.up}{self.pages[match[1]]}' if match[1] in self.pages else match[0]

    def own_link(self, match):
        "Of two functions with one name, this page's"
        name = match[1]
        return f'[`{name}`]({self.page}#{name.lower()})' if name in self.own else match[0]

    def source_link(self, match):
        "The line of this version"
        own = self.own.get(match[3])
        return f'{match[1]}{own}{match[2]}' if own else match[0]

    def __call__(self, text):
        text = self.site.sub(self.page_link, text)
        # inside a signature a link is only brackets
        text = FENCE.sub(lambda m: LINKED.sub(r'\1', m[0]), text)
        text = LINKED.sub(self.own_link, text)
        return SOURCE.sub(self.source_link, text)


def mend_page(path, mend):
    "Mend the Markdown of a prepared page and of its outputs"
    notebook = json.loads(path.read_text(encoding='utf-8'))
    for cell in notebook['cells']:
        if cell['cell_type'] == 'markdown': cell['source'] = mend(''.join(cell['source']))
        for output in cell.get('outputs', []):
            text = output.get('data', {}).get('text/markdown')
            if text: output['data']['text/markdown'] = mend(''.join(text))
    path.write_text(json.dumps(notebook, ensure_ascii=False), encoding='utf-8')


def prepare():
    "nbdev's part: every notebook becomes a page in _proc, with links between pages"
    comment_fields()
    nbdev.quarto._ensure_quarto = lambda: None # nothing below calls Quarto
    nbdev.quarto.nbdev_proc_nbs(n_workers=0)
    proc = get_config().config_path/'_proc'
    found = modules()
    pages = sorted(o.relative_to(proc) for o in proc.rglob('*.ipynb'))
    pages = [o for o in pages if not o.parts[0].startswith(('_', '.'))]
    for page in pages:
        module = found.get(page.with_suffix('').as_posix())
        mend_page(proc/page, Mend(page, pages, module))
    return proc, pages


def mathml(match):
    "A formula that the browser draws by itself"
    from latex2mathml.converter import convert
    display = 'block' if match[2] == 'display' else 'inline'
    return f"{match[1]}{convert(html.unescape(match[3]), display=display)}</span>"


def finish(docs):
    "No page asks another host for anything: themes without web fonts, formulas as MathML"
    for file in docs.rglob('*.css'):
        text = file.read_text(encoding='utf-8')
        if FONTS.search(text): file.write_text(FONTS.sub('', text), encoding='utf-8')
    for file in docs.rglob('*.html'):
        text = file.read_text(encoding='utf-8')
        if not MATH.search(text): continue
        file.write_text(KATEX.sub('', MATH.sub(mathml, text)), encoding='utf-8')


def main():
    docs = get_config().config_path/'_proc'/get_config().doc_path.name
    if sys.argv[1:] == ['--finish']: return finish(docs)
    proc, sources = prepare()
    if sys.argv[1:] == ['--prepare']: return 0
    from smalldocs.site import build
    warnings = build(proc, quiet=True).warnings
    finish(docs)
    bad = check(docs, proc, sources, warnings)
    print('\n'.join(bad) or f'{len(sources)} pages, all with their pictures and their API, '
          'in order, no broken links, nothing asked of another host')
    return int(bool(bad))


if __name__ == '__main__': sys.exit(main())

"""Writes the sidebar of the site and the README's table from the notebooks' own titles and blurbs.

    python .ci/contents.py            write _quarto.yml and nbs/index.ipynb
    python .ci/contents.py --check    exit status 1 if one of them is not up to date

A notebook's first cell is `# Title` and `> blurb`. Both lists have the same groups in the same
order: the six steps, then one group for each folder.
"""
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NBS = ROOT/'nbs'
GROUPS = { # folder -> (heading, what a reader finds there)
    '': ('The six steps', 'from an image file to the page an operator opens'),
    'core': ('Core', 'files, images, tables, command line: what everything else stands on'),
    'datasets': ('Datasets', 'folders of images, who learns and who judges, shared metal'),
    'uncertainty': ('Uncertainty', 'calibration, label sets, unknown-score (out-of-distribution)'),
    'explain': ('Explain', 'overlays, boxes and finer heatmaps'),
    'training': ('Training', 'options, distillation, checkpoints, search, folds'),
    'detection': ('Detection', 'defects as boxes: a head on the classifier; recipes'),
    'evaluation': ('Evaluation', 'everything that can be measured of a model'),
    'inference': ('Inference', 'engines, export, which one answers, the inspector'),
    'monitoring': ('Monitoring', 'every result kept, corrected and replayed; drift'),
    'batch': ('Batch', 'folders, cameras and clusters; the report'),
    'strip': ('Strip', 'strips of any length; defects in millimetres'),
    'web': ('Web', 'what stands behind the page'),
    'results': ('Results', 'what was measured'),
    'guides': ('Guides', 'one task each, from beginning to end'),
}
SIDEBAR_FIRST = 'guides', '', 'results'
GUIDES = ( # in the order in which a newcomer needs them
    'your_own_folder', 'inspect_neu', 'reading_a_heatmap', 'random_splits', 'edge_box',
    'many_machines',
)
BEGIN = '    # The entries below are written by .ci/contents.py'
CELL = 'notebooks-table'


def place(path):
    "Numbers order notebooks inside a folder; guides have an order of their own"
    return (GUIDES.index(path.stem) if path.stem in GUIDES else len(GUIDES), path.name)


def pages(folder):
    "(path in nbs, title, blurb) of the notebooks of a folder, in order"
    found = []
    for path in sorted((NBS/folder).glob('*.ipynb'), key=place):
        if path.stem == 'index' or path.name[0] in '._': continue
        first = ''.join(json.loads(path.read_text(encoding='utf-8'))['cells'][0]['source'])
        title = re.search(r'^# (.+)$', first, re.M)
        blurb = re.search(r'^> (.+)$', first, re.M)
        if not title or not blurb: raise SystemExit(f'{path}: no "# Title" and "> blurb"')
        found.append((path.relative_to(NBS).as_posix(), title[1], blurb[1]))
    return found


def sidebar():
    "The lines of `contents:` below the overview"
    order = [*SIDEBAR_FIRST, *(o for o in GROUPS if o not in SIDEBAR_FIRST)]
    lines = [BEGIN]
    for folder in order:
        lines += [f'      - section: {GROUPS[folder][0]}', '        contents:']
        for path, title, _ in pages(folder):
            lines += [f'          - text: {json.dumps(title, ensure_ascii=False)}',
                      f'            href: {path}']
    return '\n'.join(lines) + '\n'


def table():
    "One table for each group, in Markdown"
    parts = []
    for folder, (heading, what) in GROUPS.items():
        name = f'`{folder}`: ' if folder else ''
        rows = [f'| [{path[:-6]}]({path}) | **{title}.** {blurb} |'
                for path, title, blurb in pages(folder)]
        parts.append(f'**{heading}** ({name}{what})\n\n| notebook | what stands in it |\n'
                     '|---|---|\n' + '\n'.join(rows))
    return '\n\n'.join(parts)


def with_sidebar(text):
    "_quarto.yml with the entries of today"
    head, _, _ = text.partition(BEGIN)
    return head + sidebar()


def with_table(text):
    "index.ipynb with the tables of today"
    notebook = json.loads(text)
    cell, = [o for o in notebook['cells'] if o['id'] == CELL]
    cell['source'] = table().splitlines(True)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + '\n'


def main():
    wrong = 0
    for path, update in ((ROOT/'_quarto.yml', with_sidebar), (NBS/'index.ipynb', with_table)):
        before = path.read_text(encoding='utf-8')
        after = update(before)
        if before == after: continue
        wrong += 1
        if '--check' in sys.argv: print(f'{path.name} is not up to date: python .ci/contents.py')
        else: path.write_text(after, encoding='utf-8')
    return wrong if '--check' in sys.argv else 0


if __name__ == '__main__': sys.exit(main())

"""Ruff on notebooks, generated modules and scripts: python .ci/lint.py [--summary]

The rules stand in pyproject.toml. Three things are passed over in generated modules, because nbdev
writes them: the docstring (a notebook's blurb), the list `__all__`, and imports longer than a line
(they are wrapped in the notebook).
"""
import collections
import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLACES = 'nbs', 'defect_nbdev', '.ci', 'setup.py'


def findings():
    "What ruff reports, as dictionaries"
    command = ['ruff', 'check', '--output-format', 'json', '--exit-zero', *PLACES]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if ran.returncode: raise SystemExit(ran.stderr)
    return json.loads(ran.stdout)


def made_by_nbdev(finding):
    "A long line in a generated module that no notebook holds"
    path = Path(finding['filename'])
    generated = path.is_relative_to(ROOT/'defect_nbdev') or path == ROOT/'app.py'
    if finding['code'] != 'E501' or not generated: return False
    lines = path.read_text(encoding='utf-8').splitlines()
    row = finding['location']['row']
    if row == 1: return True
    import_line = re.match(r'(from \.|# %% )', lines[row-1])
    listed = '# %% auto #0' in lines[max(row-40, 0):row] and row < 60
    return bool(import_line) or listed and not any('# %% ../' in o for o in lines[:row])


def main():
    found = [o for o in findings() if not made_by_nbdev(o)]
    if '--summary' in sys.argv:
        count = collections.Counter(
            (Path(o['filename']).relative_to(ROOT).as_posix(), o['code']) for o in found)
        for (path, code), number in sorted(count.items()): print(f'{number:5} {code:6} {path}')
    else:
        for o in found:
            place = Path(o['filename']).relative_to(ROOT).as_posix()
            cell = f' cell {o["cell"]}' if o.get('cell') else ''
            print(f'{place}{cell}:{o["location"]["row"]}: {o["code"]} {o["message"]}')
    print(f'{len(found)} findings')
    return int(bool(found))


if __name__ == '__main__': sys.exit(main())

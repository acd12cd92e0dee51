"""Starts every console script with --help and looks for heavy libraries among its modules.

    python .ci/startup.py [ROOT] [--json FILE]

Each script of settings.ini runs in a process of its own. Exit status 1 if one of them imports a
library of HEAVY, or fails, or if LIGHT imports torch. Times are printed, not judged.
"""
import argparse
import configparser
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

HEAVY = 'torch', 'timm', 'albumentations', 'gradio', 'sklearn', 'torchvision'
LIGHT = 'defect_nbdev.inference.inspector' # must be usable without torch
MARK = '@modules@ '
CHILD = f'''
import importlib, sys
module, path, name = sys.argv[1:]
sys.argv = [name, '--help']
status = 0
try:
    function = importlib.import_module(module)
    for part in path.split('.') if path else (): function = getattr(function, part)
    if path: function()
except SystemExit as e: status = e.code or 0
found = [o for o in {HEAVY!r} if o in sys.modules]
print('\\n{MARK}' + ' '.join(found), file=sys.stderr)
sys.exit(status)
'''


def console_scripts(root):
    "(name, module, attributes) of each line of `console_scripts` in settings.ini"
    config = configparser.ConfigParser(delimiters=['='])
    config.read(root/'settings.ini', encoding='utf-8')
    lines = config['DEFAULT']['console_scripts'].splitlines()
    return [re.split(r'\s*[=:]\s*', line.strip()) for line in lines if line.strip()]


def start(root, name, module, path):
    "Run one script's --help: modules found, exit status, seconds"
    env = dict(os.environ, PYTHONPATH=str(root))
    command = [sys.executable, '-c', CHILD, module, path, name]
    before, clock = os.times(), time.perf_counter()
    ran = subprocess.run(command, cwd=root, env=env, text=True, capture_output=True)
    wall, after = time.perf_counter() - clock, os.times()
    cpu = (after.children_user - before.children_user
           + after.children_system - before.children_system)
    said, _, found = ran.stderr.rpartition(MARK)
    helped = not path or 'usage' in ran.stdout.lower()
    failed = (said or ran.stderr).strip() if ran.returncode or not helped else ''
    return {'name': name, 'imports': found.split() if said or not failed else [],
            'failed': failed, 'status': ran.returncode, 'wall_s': round(wall, 2),
            'cpu_s': round(cpu, 2)}


def is_wrong(row):
    "Whether a script failed or imported what it may not; LIGHT may import anything but torch"
    heavy = 'torch' in row['imports'] if row['name'] == LIGHT else row['imports']
    return bool(heavy or row['failed'] or row['status'])


def show(row):
    failed = row['failed'].splitlines()[-1:] or ['exit status not 0'] * bool(row['status'])
    found = ' '.join(row['imports'] + failed) or '-'
    print(f'{row["name"]:34}{row["wall_s"]:7.2f} {row["cpu_s"]:7.2f}  {found}')


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('root', nargs='?', type=Path, default=Path(__file__).resolve().parents[1])
    parser.add_argument('--json', type=Path, help='write the rows to this file')
    args = parser.parse_args()
    root = args.root.resolve()
    print(f'{"--help of":34}{"wall s":>7} {"CPU s":>7}  heavy modules')
    rows = []
    for script in [*console_scripts(root), (LIGHT, LIGHT, '')]:
        rows.append(start(root, *script))
        show(rows[-1])
    if args.json: args.json.write_text(json.dumps(rows, indent=1) + '\n', encoding='utf-8')
    wrong = sum(map(is_wrong, rows))
    print(f'{wrong} of {len(rows)} import what they may not, or fail')
    return int(wrong > 0)


if __name__ == '__main__': sys.exit(main())

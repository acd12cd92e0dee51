"""Does a training's memory stay flat? Peak resident memory of `defect_train` and its workers after
each of 30 short epochs.

    python nbs/benchmarks/memory.py --data ../shared/neu-det

The training is the real command in a process of its own, on all of NEU. Every tenth of a second
the resident memory of the process and of its workers is read; the largest sum within each epoch is
kept, in memory.json beside this file."""
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from common import NEU_FOLDER, json_beside, make_parser, write_json


def resident_bytes(process):
    "Resident memory of a process and its children; pages shared between them count once for each"
    total = 0
    for part in [process, *process.children(recursive=True)]:
        try:
            total += part.memory_info().rss
        except psutil.NoSuchProcess:
            pass
    return total


def epoch_peaks(process, history):
    "Peak of each epoch, bytes, while a training runs"
    peaks,n_seen = [],0
    while process.poll() is None:
        rows = len(history.read_text().splitlines())-1 if history.exists() else 0
        if rows>=n_seen:
            n_seen = rows+1
            peaks.append(0)
        peaks[-1] = max(peaks[-1], resident_bytes(process))
        time.sleep(.1)
    return peaks


def run_training(data, options, folder):
    "Peaks of a training in a process of its own"
    command = [Path(sys.executable).with_name('defect_train'), data, '--out', folder/'run',
               *(f'--{name}={value}' for name,value in options.items())]
    process = psutil.Popen([*map(str, command)], stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
    peaks = epoch_peaks(process, folder/'run/history.csv')
    if process.returncode: sys.exit('the training failed')
    return peaks


def parse_args():
    parser = make_parser(__doc__)
    parser.add_argument('--data', default=NEU_FOLDER)
    parser.add_argument('--out', default=json_beside(__file__))
    parser.add_argument('--epochs', type=int, default=30)
    parser.add_argument('--backbone', default='resnet18')
    parser.add_argument('--size', type=int, default=64)
    return parser.parse_args()


def main():
    args = parse_args()
    options = dict(backbone=args.backbone, pretrained=False, epochs=args.epochs, size=args.size,
                   workers=1, ema=.99, split='folder')
    with tempfile.TemporaryDirectory() as folder:
        peaks = run_training(args.data, options, Path(folder))
    peaks = [round(peak/2**20) for peak in peaks[:args.epochs]]
    command = 'defect_train NEU ' + ' '.join(f'--{name} {v}' for name,v in options.items())
    write_json(args.out, {'command':command, 'peak_mib':peaks})
    print('peak of each epoch, MiB:', *peaks)
    half = len(peaks)//2
    print(f'first half {max(peaks[:half])} MiB, second half {max(peaks[half:])} MiB')


if __name__=='__main__': main()

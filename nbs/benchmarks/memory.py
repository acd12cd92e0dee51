"""Does a training's memory stay flat? Peak resident memory of `defect_train` and its workers after each of 30 short epochs.

    python nbs/benchmarks/memory.py --data ../shared/neu-det

The training is the real command in a process of its own, on all of NEU. Every tenth of a second the resident memory of the
process and of its workers is read; the largest sum within each epoch is kept, in memory.json beside this file."""
import argparse, json, shutil, subprocess, sys, tempfile, time
from pathlib import Path

import psutil

from defect_nbdev.core.files import write_text

def resident(process):
    "Resident memory of a process and its children, bytes; pages shared between them count once for each"
    total = 0
    for p in [process, *process.children(recursive=True)]:
        try: total += p.memory_info().rss
        except psutil.NoSuchProcess: pass
    return total

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--data', default='../shared/neu-det'); p.add_argument('--out', default=Path(__file__).with_suffix('.json'))
    p.add_argument('--epochs', type=int, default=30); p.add_argument('--backbone', default='resnet18'); p.add_argument('--size', type=int, default=64)
    o = p.parse_args(); tmp = Path(tempfile.mkdtemp()); history = tmp/'run/history.csv'; peaks,seen = [],0
    options = dict(backbone=o.backbone, pretrained=False, epochs=o.epochs, size=o.size, workers=1, ema=.99, split='folder')
    args = [Path(sys.executable).with_name('defect_train'), o.data, '--out', tmp/'run', *(f'--{k}={v}' for k,v in options.items())]
    try:
        process = psutil.Popen([*map(str, args)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            rows = len(history.read_text().splitlines())-1 if history.exists() else 0
            if rows>=seen: seen = rows+1; peaks.append(0)
            peaks[-1] = max(peaks[-1], resident(process)); time.sleep(.1)
        if process.returncode: sys.exit('the training failed')
    finally: shutil.rmtree(tmp)
    peaks = [round(b/2**20) for b in peaks[:o.epochs]]
    write_text(o.out, json.dumps({'command':'defect_train NEU ' + ' '.join(f'--{k} {v}' for k,v in options.items()), 'peak_mib':peaks}, indent=1) + '\n')
    print('peak of each epoch, MiB:', *peaks); half = len(peaks)//2
    print(f'first half {max(peaks[:half])} MiB, second half {max(peaks[half:])} MiB')

if __name__=='__main__': main()

"""Where the time of one image goes, stage by stage.

    python nbs/benchmarks/one_image.py

A drawn plate as a JPEG, once of the size that the models learned from and once as a camera of five
megapixels has it, goes through the stages of `defect_inspect`, one after another in one process:
read the file, bring it to the network's size, measure its quality, the engine that the package
chooses with the maps of all classes, the answer in words; then what is made only when it is asked
for: the record that is stored, the hash of the pixels, the picture with its heatmap. The stages
take turns, picture by picture; milliseconds are medians with the extremes. The result goes into
one_image.json beside this file."""
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from common import cpu_name, json_beside, make_parser, median_and_range, write_json
from defect_nbdev.core.cli import cpu_count
from defect_nbdev.core.images import read_raw, resize_to
from defect_nbdev.datasets.quality import measure
from defect_nbdev.datasets.synthetic import make_steel
from defect_nbdev.inference.inspector import PreparedImage, load_inspector
from defect_nbdev.inference.prediction import image_hash

MODELS = 'neu-lite0','neu-resnet50'
SIZES = {'200×200':(200, 200), '2448×2048':(2048, 2448)} # name -> (rows, columns)
ASKED = 'record','hash','overlay' # made only when somebody asks


def write_plate(file, shape, seed=1):
    "A drawn plate, enlarged to a shape, as a JPEG"
    image = make_steel('Scratches', seed=seed).image
    cv2.imwrite(str(file), cv2.resize(image, shape[::-1], interpolation=cv2.INTER_CUBIC))


def run_stages(inspector, file):
    "stage -> seconds of one image"
    seconds,engine = {},inspector.engine

    def timed(stage, function, *args):
        start = time.perf_counter()
        result = function(*args)
        seconds[stage] = time.perf_counter()-start
        return result
    image = timed('read', lambda: read_raw(file).to_rgb(inspector.bits))
    pixels = timed('resize', resize_to, image, engine.size)
    quality = timed('quality', measure, image)
    outputs = timed('engine', engine.run, pixels[None])
    prepared = PreparedImage(image, np.ascontiguousarray(pixels), quality, 0.)
    prediction = timed('answer', inspector.to_prediction, prepared, outputs)
    timed('record', prediction.record)
    timed('hash', image_hash, image)
    timed('overlay', lambda: prediction.overlay)
    return seconds


def profile(name, file, turns):
    "stage -> [median, least, most] milliseconds, and the whole call beside their sum"
    inspector = load_inspector(name)
    run_stages(inspector, file) # warm up
    rows,calls = [],[]
    for _ in range(turns):
        rows.append(run_stages(inspector, file))
        start = time.perf_counter()
        inspector(file)
        calls.append(time.perf_counter()-start)
    stages = {stage:median_and_range((row[stage]*1e3 for row in rows), 3) for stage in rows[0]}
    return {'engine':type(inspector.engine).__name__, 'stages':stages, 'asked_for':list(ASKED),
            'call':median_and_range((seconds*1e3 for seconds in calls), 3)}


def main():
    parser = make_parser(__doc__)
    parser.add_argument('--turns', type=int, default=31)
    parser.add_argument('--out', default=json_beside(__file__))
    args = parser.parse_args()
    result = {'cpu':cpu_name(), 'cores':cpu_count(), 'turns':args.turns, 'models':{}}
    with tempfile.TemporaryDirectory() as folder:
        for size,shape in SIZES.items():
            write_plate(Path(folder)/f'{size}.jpg', shape)
        for name in MODELS:
            rows = {size:profile(name, Path(folder)/f'{size}.jpg', args.turns) for size in SIZES}
            result['models'][name] = rows
            for size,row in rows.items():
                stages = '  '.join(f'{stage} {ms[0]:.2f}' for stage,ms in row['stages'].items())
                print(f"{name} {size} {row['engine']}: {stages}  ms; call {row['call'][0]:.2f} ms",
                      flush=True)
    write_json(args.out, result)


if __name__=='__main__': main()

"""Real steel longer than a crop: what the strip scan finds on plates that are laid together from
the crops of NEU that judge the shipped models, and what it invents there.

    python nbs/benchmarks/plates.py --data ../shared/neu-det --look plates

Groups of crops that show the same metal are laid together (datasets/12_plates); whole groups are
held out, so no network learned from any of this metal. Each plate is scanned like a strip, in tiles
of 200 pixels that overlap by half, without a reference. A drawn box is found if a defect of its
class shares a quarter of the smaller of the two; a defect is false if it shares as much with no
box of any class and its middle lies on metal that a crop shows. Unboxed defects are counted as
false. Recall has Wilson's 95 % interval. How large NEU's pixels are nobody has published; rates are
told for a million pixels of metal outside all boxes, and for a square metre as if a pixel were half
a millimetre wide. What no crop shows is filled with the plate's mean grey. The result goes into
plates.json beside this file, model by model; with --look the three largest plates are drawn into
that folder."""
from pathlib import Path

import cv2
import numpy as np

from common import NEU_FOLDER, cpu_name, json_beside, make_parser, update_json
from defect_nbdev.core.metrics import wilson_interval
from defect_nbdev.core.models import find_model
from defect_nbdev.datasets.boxes import box_area, shared_area
from defect_nbdev.datasets.layouts import read_samples
from defect_nbdev.datasets.leakage import search_overlaps
from defect_nbdev.datasets.plates import lay_plates
from defect_nbdev.datasets.splits import known_parts, require_manifest
from defect_nbdev.inference.torch_engine import load_torch_engine
from defect_nbdev.strip.reader import strip_from_array
from defect_nbdev.strip.scan import scan_strip

SHARED = .25 # of the smaller box, from which on two show the same
PER_M2 = 4. # million pixels of half a millimetre in a square metre


def shared(a, b):
    "How much of the smaller of two boxes both hold, in [0,1]"
    return shared_area(a, b)/min(box_area(a), box_area(b))


def lay(data, model):
    "The plates of the images that judge a model"
    samples = known_parts(require_manifest(model), read_samples(data)).part('validation')
    labels = [sample.label for sample in samples]
    overlaps = search_overlaps([sample.read() for sample in samples], labels)
    return lay_plates(samples, overlaps)


def filled(plate):
    "Grey (H,W) uint8; unknown metal in the mean of the rest"
    grey = cv2.cvtColor(plate.image, cv2.COLOR_RGB2GRAY)
    return np.where(plate.known, grey, np.uint8(grey[plate.known].mean()))


def outside_boxes(plate):
    "Pixels of known metal that no box covers"
    clean = plate.known.copy()
    for box in plate.boxes: clean[box.ymin:box.ymax,box.xmin:box.xmax] = False
    return int(clean.sum())


def is_false(defect, plate):
    "Does a defect show no drawn box, on known metal?"
    if any(shared(defect, box)>=SHARED for box in plate.boxes): return False
    return bool(plate.known[(defect.ymin+defect.ymax)//2,(defect.xmin+defect.xmax)//2])


def score(plate, defects):
    "(found of each box, found by whatever class, false defects)"
    own = [any(d.label==box.label and shared(d, box)>=SHARED for d in defects)
           for box in plate.boxes]
    some = [any(shared(d, box)>=SHARED for d in defects) for box in plate.boxes]
    return own, some, sum(is_false(d, plate) for d in defects)


def measure(model, plates):
    engine = load_torch_engine(model, 'cpu')
    labels,own,some,false,clean,unknown,tiles = [],[],[],0,0,0,0
    for plate in plates:
        scan = scan_strip(engine, strip_from_array(filled(plate)))
        found = score(plate, scan.defects)
        labels += [box.label for box in plate.boxes]
        own += found[0]
        some += found[1]
        false += found[2]
        clean += outside_boxes(plate)
        unknown,tiles = unknown+scan.unknown_tiles,tiles+scan.tiles
    labels,own = np.array(labels),np.array(own)
    per_class = {label:{'boxes':int((labels==label).sum()),
                        'found':int(own[labels==label].sum())} for label in engine.classes}
    megapixels = clean/1e6
    return {'plates':len(plates), 'boxes':len(own), 'found':int(own.sum()),
            'recall_95':list(wilson_interval(int(own.sum()), len(own))),
            'found_as_any_class':int(sum(some)), 'false':false, 'clean_megapixels':megapixels,
            'false_per_megapixel':false/megapixels, 'false_per_m2':false/megapixels*PER_M2,
            'tiles':tiles, 'unknown_tiles':unknown, 'per_class':per_class, 'cpu':cpu_name()}


def draw(plate, defects, path):
    "A plate with drawn boxes in white and found ones in colour"
    picture = cv2.cvtColor(filled(plate), cv2.COLOR_GRAY2BGR)
    for boxes,color,width in ((plate.boxes, (255,255,255), 3), (defects, (0,140,255), 1)):
        for box in boxes:
            corners = (int(box.xmin), int(box.ymin)), (int(box.xmax), int(box.ymax))
            cv2.rectangle(picture, *corners, color, width)
    cv2.imwrite(str(path), picture)


def main():
    parser = make_parser(__doc__)
    parser.add_argument('--data', default=NEU_FOLDER)
    parser.add_argument('--models', nargs='+', default=['neu-lite0', 'neu-resnet50'])
    parser.add_argument('--out', default=json_beside(__file__))
    parser.add_argument('--look', help='folder for pictures of three plates')
    args = parser.parse_args()
    for model in args.models:
        plates,name = lay(args.data, model),find_model(model).name
        result = measure(model, plates)
        update_json(args.out, **{name:result})
        print(f"{name}: {result['found']} of {result['boxes']} boxes found, {result['false']} "
              f"false on {result['clean_megapixels']:.2f} million pixels outside boxes")
        if not args.look: continue
        Path(args.look).mkdir(parents=True, exist_ok=True)
        engine = load_torch_engine(model, 'cpu')
        kinds = {plate.samples[0].label:plate for plate in reversed(plates)}
        for label,plate in list(kinds.items())[:3]:
            scan = scan_strip(engine, strip_from_array(filled(plate)))
            draw(plate, scan.defects, Path(args.look)/f'{name}-{label}.png')


if __name__=='__main__': main()

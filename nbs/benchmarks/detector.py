"""Whether and where: the detection heads of the shipped models on the images that judge them.

    python nbs/benchmarks/detector.py --data ../shared/neu-det

For each model: mean average precision, one-box localisation and the recall of boxes, as
`defect_detector` measures them, at the floor that the model brings, which was chosen on images of
the training part. Then what the inspector says of clean metal: of all 80-pixel squares that touch
no box, and of those among them on which no mark is seen by eye (clean_tiles.json beside this file,
chosen before any head had looked at them); and of the judging images themselves, which must not be
called clean. The result goes into detector.json beside this file, model by model."""
from collections import Counter
from functools import partial

import numpy as np

from common import NEU_FOLDER, cpu_name, json_beside, make_parser, read_json, update_json
from defect_nbdev.core.models import find_model
from defect_nbdev.datasets.splits import known_parts, require_manifest
from defect_nbdev.datasets.layouts import read_samples
from defect_nbdev.detection.defects import read_settings
from defect_nbdev.detection.head import load_detection_head
from defect_nbdev.detection.learn import known_boxes
from defect_nbdev.detection.measure import measure_detection_head
from defect_nbdev.detection.metrics import tile_around
from defect_nbdev.detection.predict import detect_images
from defect_nbdev.inference.inspector import load_inspector
from defect_nbdev.model import load_model
from defect_nbdev.uncertainty.fit import clean_parts

EYE = json_beside(__file__, 'clean_tiles.json') # squares that are clean by eye


def cut(image, x, y, side):
    return np.ascontiguousarray(image[y:y+side,x:x+side])


def eye_tiles(data):
    "The squares that are clean by eye"
    chosen = read_json(EYE)
    samples = {sample.path.name:sample for sample in read_samples(data)}
    images = {name:samples[name].read() for name in {path.split('/')[-1]
                                                     for path,_,_ in chosen['tiles']}}
    return [cut(images[path.split('/')[-1]], x, y, chosen['side'])
            for path,x,y in chosen['tiles']]


def evidence(model, images):
    "The probability that there is a defect in each image"
    network,config = load_model(model)
    head,record = load_detection_head(model, network)
    settings = read_settings(record)
    detect = partial(detect_images, network, config, head, settings=settings)
    return np.array([found.evidence for found in detect(images)])


def shares(inspector, images):
    "How many images have which verdict"
    counts = Counter(answer.verdict for answer in inspector(images))
    return dict(sorted(counts.items()))


def defect_tiles(samples, classes):
    "Squares around drawn boxes"
    for sample in samples:
        image = sample.read()
        for box in known_boxes(sample, classes):
            tile = tile_around(box, image.shape)
            yield cut(image, tile.xmin, tile.ymin, 80)


def measure(model, data, tiles):
    inspector = load_inspector(model, device='cpu')
    result = measure_detection_head(model, data)
    samples = known_parts(require_manifest(model), read_samples(data)).part('validation')
    by_eye,own = evidence(model, tiles),result['tiles']
    result['tiles_by_eye'] = {
        'tiles':len(tiles),
        'false_alarms':float((by_eye>=result['record']['present_floor']).mean()),
        'false_alarms_at_95':float((by_eye>=own['floor_at_95']).mean())}
    result['verdicts'] = {
        'clean tiles by eye':shares(inspector, tiles),
        'clean tiles':shares(inspector, list(clean_parts(samples))),
        'tiles around boxes':shares(inspector, list(defect_tiles(samples, inspector.classes))),
        'judging images':shares(inspector, [sample.path for sample in samples])}
    return {**result, 'cpu':cpu_name()}


def main():
    parser = make_parser(__doc__)
    parser.add_argument('--data', default=NEU_FOLDER)
    parser.add_argument('--models', nargs='+', default=['neu-lite0', 'neu-resnet50'])
    parser.add_argument('--out', default=json_beside(__file__))
    args = parser.parse_args()
    tiles = eye_tiles(args.data)
    for model in args.models:
        result = measure(model, args.data, tiles)
        update_json(args.out, **{find_model(model).name:result})
        boxes,own,eye = result['boxes'],result['tiles'],result['tiles_by_eye']
        print(f"{model}: mAP50 {boxes['map50']:.1%}, first box {boxes['first_box']:.1%}, clean "
              f"tiles called defective {own['false_alarms_at_95']:.1%}, by eye clean "
              f"{eye['false_alarms_at_95']:.1%}")
        for name,counts in result['verdicts'].items(): print(f'  {name}: {counts}')


if __name__=='__main__': main()

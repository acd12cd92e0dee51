"""A detector peer on the same images: the smallest Ultralytics model, from random weights, for the
same time on the same processor, against the same boxes by the same code.

    pip install -e ".[bench]"
    python nbs/benchmarks/detector_peer.py --data ../shared/neu-det --hours 2

The wheel of Ultralytics (AGPL-3.0, which keeps it out of the dependencies) brings architectures and
no weights, and nothing is downloaded. It learns from the images that the detection heads of the
shipped models learn from, with its own default augmentation and optimizer, at 224 pixels (a
multiple of 32 next to NEU's 200); the floor of its boxes is the one with the best F1 on the images
held out from that, as ours is; and it is measured on the images that judge the shipped models.
The hours are those on the clock, epochs as many as fit. The result goes into detector_peer.json
beside this file, one entry for each architecture and number of hours."""
import os
import tempfile
import time
from pathlib import Path

import cv2
import torch

from common import (
    NEU_FOLDER, cpu_name, json_beside, make_parser, package_versions, update_json, write_json,
)
from defect_nbdev.datasets.splits import require_manifest
from defect_nbdev.detection.defects import Defect
from defect_nbdev.detection.learn import best_floor, divide_boxed, known_boxes
from defect_nbdev.detection.measure import score_boxes
from defect_nbdev.detection.metrics import match_defects
from defect_nbdev.model import load_config

SIDE = 224 # pixels of an image as the peer sees it
FAINT = .001 # lowest score that is asked for


def label_lines(sample, image, classes):
    "Boxes as Ultralytics reads them: class, middle and size as shares of the image"
    height,width = image.shape[:2]
    for box in known_boxes(sample, classes):
        x,y = (box.xmin+box.xmax)/2/width, (box.ymin+box.ymax)/2/height
        w,h = (box.xmax-box.xmin)/width, (box.ymax-box.ymin)/height
        yield f'{classes.index(box.label)} {x:.6f} {y:.6f} {w:.6f} {h:.6f}'


def write_part(folder, name, samples, classes):
    "A part of the data set in folders of images and labels"
    images,labels = folder/'images'/name,folder/'labels'/name
    images.mkdir(parents=True)
    labels.mkdir(parents=True)
    for sample in samples:
        image = sample.read()
        cv2.imwrite(str(images/f'{sample.path.stem}.png'), image)
        text = '\n'.join(label_lines(sample, image, classes)) + '\n'
        (labels/f'{sample.path.stem}.txt').write_text(text)


def write_data(folder, parts, classes):
    "Everything the peer learns from; the file that describes it"
    write_part(folder, 'train', parts.learned, classes)
    write_part(folder, 'val', parts.held_out, classes)
    # JSON is YAML
    write_json(folder/'data.yaml', {'path':str(folder), 'train':'images/train',
                                    'val':'images/val', 'names':dict(enumerate(classes))})
    return folder/'data.yaml'


def make_peer(architecture):
    "An untrained network; Ultralytics told to call nobody"
    os.environ['YOLO_OFFLINE'] = 'true'
    from ultralytics import YOLO, settings # slow, optional: only compared with
    settings.update({'sync':False})
    return YOLO(f'{architecture}.yaml', task='detect', verbose=False)


def train(peer, data, folder, args):
    "(epochs, seconds) of a training that ends when its hours do"
    start = time.time()
    peer.train(data=str(data), time=args.hours, imgsz=SIDE, batch=16, workers=1, device='cpu',
               cache='ram', seed=0, val=False, plots=False, amp=False, project=str(folder),
               name='run', verbose=False)
    return peer.trainer.epoch+1, time.time()-start


def find(peer, samples, classes):
    "All boxes of each image, however faint, most probable first"
    found = []
    for sample in samples:
        result, = peer.predict(sample.read()[...,::-1].copy(), imgsz=SIDE, conf=FAINT, iou=.6,
                               device='cpu', verbose=False)
        rows = result.boxes.data.tolist()
        found.append([Defect(classes[int(label)], score, *corners)
                      for *corners,score,label in sorted(rows, key=lambda row: -row[4])])
    return found


def choose_floor(found, samples, classes):
    "The score with the best F1"
    truth = [known_boxes(sample, classes) for sample in samples]
    right = [hit for own,boxes in zip(found, truth) for hit in match_defects(own, boxes)]
    scores = [defect.probability for own in found for defect in own]
    return best_floor(scores, right, sum(map(len, truth)))[0]


def reported(found, floor):
    "What a user would see: the boxes above the floor, or the best one"
    return [[d for d in own if d.probability>=floor] or own[:1] for own in found]


def measure(architecture, parts, classes, args):
    peer = make_peer(architecture)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = write_data(folder/'data', parts, classes)
        epochs,seconds = train(peer, data, folder, args)
        floor = choose_floor(find(peer, parts.held_out, classes), parts.held_out, classes)
        found = find(peer, parts.validation, classes)
    boxes = score_boxes(found, reported(found, floor), parts.validation, classes)
    n_weights = sum(p.numel() for p in peer.model.parameters())
    return {'architecture':architecture, 'weights':n_weights, 'side':SIDE, 'epochs':epochs,
            'seconds':round(seconds), 'threads':torch.get_num_threads(), 'floor':floor,
            'learned':len(parts.learned), 'boxes':boxes, 'cpu':cpu_name(),
            'versions':package_versions('ultralytics', 'torch')}


def main():
    parser = make_parser(__doc__)
    parser.add_argument('--data', default=NEU_FOLDER)
    parser.add_argument('--model', default='neu-lite0', help='whose split is used')
    parser.add_argument('--architectures', nargs='+', default=['yolov8n'])
    parser.add_argument('--hours', type=float, required=True)
    parser.add_argument('--out', default=json_beside(__file__))
    args = parser.parse_args()
    classes = list(load_config(args.model).classes)
    parts = divide_boxed(require_manifest(args.model), args.data, classes=classes)
    for architecture in args.architectures:
        result = measure(architecture, parts, classes, args)
        update_json(args.out, **{f'{architecture}, {args.hours:g} hours':result})
        boxes = result['boxes']
        print(f"{architecture}: {result['epochs']} epochs in {result['seconds']} s, mAP50 "
              f"{boxes['map50']:.1%}, first box {boxes['first_box']:.1%}", flush=True)


if __name__=='__main__': main()

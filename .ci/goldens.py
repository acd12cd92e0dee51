"""Golden predictions of both shipped models: no change of the code changes an answer unseen.

    python .ci/goldens.py .ci/goldens.json             compare; exit status 1 if an answer differs
    python .ci/goldens.py --write .ci/goldens.json     write them anew

60 generated images (10 seeds of each class) and, where ../shared/neu-det lies, 60 real ones (10 of
each class, evenly spaced in the validation folder) go through PyTorch on the CPU, one at a time.
Labels, verdicts and boxes must be the same, probabilities equal within 1e-5.

    python .ci/goldens.py --rounding .ci/goldens.json  on a processor other than the one that wrote

Another processor adds in another order: probabilities may then differ by 1e-4, and of 100 images
two may have another verdict or box, where a number lies on its limit. Labels stay the same.

    python .ci/goldens.py --engine auto .ci/goldens.json  by the engine that users get

The same allowance for ONNX Runtime or OpenVINO, whichever the package chooses on this machine, or
for the one that is named. What PyTorch wrote is the truth.
"""
import argparse
import hashlib
import importlib
import json
import sys
from pathlib import Path

MODELS = 'neu-resnet50', 'neu-lite0'
FOLDERS = { # class -> its folder in NEU-DET
    'Crazing': 'crazing', 'Inclusion': 'inclusion', 'Patches': 'patches',
    'Pitted': 'pitted_surface', 'Rolled-in Scale': 'rolled-in_scale', 'Scratches': 'scratches',
}
PER_CLASS, SIZE, THREADS = 10, 200, 2
ROOT = Path(__file__).resolve().parents[1]
REAL = ROOT.parent/'shared'/'neu-det'
ON_THRESHOLD = 'inclusion_241.jpg', # its score is a fitted threshold: rounding flips the verdict
EXACT = 'image', 'label', 'verdict', 'boxes'
TOLERANCES = {'probabilities': 1e-5, 'novelty': 1e-3, 'area': 1e-5, 'shares': 1e-4}
ROUNDING = {'probabilities': 1e-4, 'novelty': 1e-2, 'area': 1e-2, 'shares': 1e-2}
ON_THE_LIMIT = 'verdict', 'boxes', 'shares', 'area' # what rounding may turn


def project():
    "`load_inspector`, `make_steel` and `read_image`, from where they live now or lived before"
    wanted = {
        'load_inspector': ('defect_nbdev.inference.inspector', 'defect_nbdev.inspector'),
        'make_steel': ('defect_nbdev.datasets.synthetic', 'defect_nbdev.synthetic'),
        'read_image': ('defect_nbdev.core.images', 'defect_nbdev.data'),
    }
    return [getattr(first_module(places), name) for name, places in wanted.items()]


def first_module(places):
    "The first of some modules that exists; an import that fails inside of one is an error"
    for place in places:
        try: return importlib.import_module(place)
        except ModuleNotFoundError as e:
            if e.name is None or not place.startswith(e.name): raise
    raise ImportError(f'none of {", ".join(places)} exists')


def facts(prediction):
    "What is kept of a `Prediction`; the only place that knows its attributes"
    found = prediction.regions()
    return {
        'label': prediction.label,
        'verdict': prediction.verdict,
        'probabilities': [rounded(v) for v in prediction.probabilities.values()],
        'novelty': rounded(prediction.unknown_score),
        'area': rounded(prediction.severity),
        'boxes': [[int(v) for v in box[:4]] for box in found['boxes']],
        'shares': [rounded(box[4]) for box in found['boxes']],
    }


def make_inspector(load_inspector, name, engine):
    "A shipped model, computed by PyTorch on the CPU or by another engine"
    if engine != 'torch':
        inspector = load_inspector(name, engine=engine)
        print(f'{name}: {inspector.engine}')
        return inspector
    inspector = load_inspector(name, device='cpu')
    kind = type(inspector.engine)
    if 'torch' not in f'{kind.__module__}.{kind.__name__}'.lower():
        raise SystemExit(f'{name} is computed by {kind.__name__}; the goldens are PyTorch\'s.')
    return inspector


def rounded(value): return None if value is None else round(float(value), 8)


def generated_images(make_steel):
    "(name, image) of each generated image"
    for label in FOLDERS:
        for seed in range(PER_CLASS):
            image = make_steel(label, size=SIZE, seed=seed).image
            yield f'{label}/{seed}', image


def real_files():
    "Evenly spaced files of each class's validation folder; none where the images are missing"
    folders = [REAL/'validation'/'images'/o for o in FOLDERS.values() if REAL.is_dir()]
    for folder in folders:
        files = [o for o in folder.iterdir() if o.name not in ON_THRESHOLD]
        files.sort(key=lambda o: (len(o.name), o.name))
        yield from (files[i*len(files)//PER_CLASS] for i in range(PER_CLASS))


def real_images(read_image):
    "(path from the data set's folder, image) of each real image"
    for file in real_files(): yield file.relative_to(REAL).as_posix(), read_image(file)


def fingerprint(image):
    "Tells a changed input from a changed answer"
    return hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()[:12]


def predict_all(models, engine):
    "Model -> 'generated' and 'real' -> image's name -> facts"
    import torch
    torch.set_num_threads(THREADS)
    load_inspector, make_steel, read_image = project()
    print('code:', Path(sys.modules['defect_nbdev'].__file__).parent)
    out = {}
    for model in models:
        inspector = make_inspector(load_inspector, model, engine)
        sources = {'generated': generated_images(make_steel), 'real': real_images(read_image)}
        out[model] = {kind: predict_each(inspector, images) for kind, images in sources.items()}
    return out


def predict_each(inspector, images):
    return {name: {'image': fingerprint(image), **facts(inspector(image))}
            for name, image in images}


def dumps(goldens):
    "JSON with one image a line"
    parts = []
    for model, kinds in goldens.items():
        inner = [f'  {json.dumps(kind)}: {{\n{records(o)}\n  }}' for kind, o in kinds.items()]
        parts.append(f' {json.dumps(model)}: {{\n' + ',\n'.join(inner) + '\n }')
    return '{\n' + ',\n'.join(parts) + '\n}\n'


def records(images):
    return ',\n'.join(f'   {json.dumps(name)}: {json.dumps(o, separators=(",", ":"))}'
                      for name, o in images.items())


def largest(old, new):
    "The largest difference of two numbers or lists; infinite if they cannot be compared"
    old, new = (v if isinstance(v, list) else [v] for v in (old, new))
    if old == new: return 0.
    if len(old) != len(new) or None in old + new: return float('inf')
    return max(abs(a - b) for a, b in zip(old, new))


def differences(old, new):
    "Key -> how far two records are apart; for what must be equal 0 or 1"
    exact = {k: float(old[k] != new[k]) for k in EXACT}
    return exact | {k: largest(old[k], new[k]) for k in TOLERANCES}


def compare(old, new, tolerances):
    "Print the largest differences per model and kind of image; (images that differ, by rounding)"
    limits = dict.fromkeys(EXACT, 0) | tolerances
    print(f'{"":24}{"images":>7}', *(f'{k:>13}' for k in limits))
    print(f'{"allowed":31}', *(f'{v:13.0e}' if v else f'{"equal":>13}' for v in limits.values()))
    wrong, turned = [], 0
    for name, images in pairs(old, new):
        rows = {k: differences(*o) for k, o in images.items()}
        worst = {k: max(row[k] for row in rows.values()) for k in limits}
        apart = {k: sum(row[k] > 0 for row in rows.values()) for k in EXACT}
        cells = [f'{apart[k]:13d}' if k in EXACT else f'{worst[k]:13.1e}' for k in limits]
        print(f'{name:24}{len(rows):7}', *cells)
        for k, row in rows.items():
            over = [j for j in limits if row[j] > limits[j]]
            if over: wrong.append(describe(f'{name} {k}', images[k], row, limits))
            turned += bool(over) and set(over) <= set(ON_THE_LIMIT)
    for line in wrong: print(line)
    return len(wrong), turned


def pairs(old, new):
    "(model and kind, image's name -> (old, new)); says which images cannot be compared"
    for model, kinds in old.items():
        for kind, images in kinds.items():
            here = new[model][kind]
            if kind == 'real' and not here:
                print(f'skipped: the real images, as {REAL} is not there')
                continue
            if images.keys() != here.keys(): raise SystemExit(f'{model}: other {kind} images')
            yield f'{model} {kind}', {k: (o, here[k]) for k, o in images.items()}


def describe(name, records, row, limits):
    "One line of what differs in an image"
    old, new = records
    parts = [f'{k} {old[k]} -> {new[k]}' for k in limits if row[k] > limits[k]]
    return f'{name}: {"; ".join(parts)}'


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('file', type=Path)
    parser.add_argument('--write', action='store_true', help='write the file instead of comparing')
    parser.add_argument('--rounding', action='store_true', help='allow for another processor')
    parser.add_argument('--engine', default='torch', help='torch, auto, onnx or openvino')
    args = parser.parse_args()
    args.rounding |= args.engine != 'torch'
    if args.write and args.engine != 'torch': return 'goldens are written by PyTorch'
    if args.write and not REAL.is_dir(): return f'{REAL} is not there: goldens hold real images too'
    new = predict_all(MODELS, args.engine)
    if args.write:
        args.file.write_text(dumps(new), encoding='utf-8')
        return 0
    old = json.loads(args.file.read_text(encoding='utf-8'))
    wrong, turned = compare(old, new, ROUNDING if args.rounding else TOLERANCES)
    print(f'{wrong} images differ, {turned} of them only on a limit' if wrong else
          'every answer is the same')
    images = sum(len(o) for kinds in old.values() for o in kinds.values())
    allowed = images//50 if args.rounding else 0
    return int(wrong > turned or turned > allowed)


if __name__ == '__main__': sys.exit(main())

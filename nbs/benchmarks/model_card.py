"""The card of a model, written from what stands beside its weights and from what the other scripts measured.

    python nbs/benchmarks/model_card.py neu-lite0

Reads config.json, recipe.json, split.json, metrics.json and confidence.json in the model's folder, and report_NAME.json,
cross_validation_NAME.json, localise_NAME.json and unknown.json beside this file where they are. Writes README.md into the model's folder."""
import argparse, json
from pathlib import Path

from defect_nbdev.core.files import write_text
from defect_nbdev.model import load_config
from defect_nbdev.core.models import find_model
from defect_nbdev.datasets.splits import read_manifest
from defect_nbdev.training.recipes import read_recipe
from defect_nbdev.core.metrics import wilson_interval

here = Path(__file__).parent
def told(name): return json.loads((here/name).read_text()) if (here/name).is_file() else None
between = lambda k, n, form='.1%': '{0:{2}} to {1:{2}}'.format(*wilson_interval(k, n), form)

def counted(m):
    "Right and wrong on the images kept back"
    names = list(m['per_class']); wrong = [(m['confusion'][i][j], a, b) for i,a in enumerate(names) for j,b in enumerate(names) if i!=j and m['confusion'][i][j]]
    rows = '\n'.join(f"| {k} | {v['n']} | {v['precision']:.1%} | {v['recall']:.1%} | {between(round(v['recall']*v['n']), v['n'])} |" for k,v in m['per_class'].items())
    told = '; '.join(f'{n} × {a} called {b}' for n,a,b in sorted(wrong, reverse=True)) or 'none'
    return f"""**{m['right']} of {m['n']}** images are named right: **{m['accuracy']:.2%}**, 95 % Wilson interval {between(m['right'], m['n'])}.

| class | images | precision | recall | 95 % interval of the recall |
|---|---|---|---|---|
{rows}

Its mistakes: {told}."""

def folded(cv):
    "Cross-validation in words"
    if not cv: return 'The recipe was not repeated on other folds, so how much the number moves from split to split is not known for this network.'
    f = list(cv['folds'].values()); n,k,sn,sk = (sum(v) for v in zip(*((x['n'], x['right'], cv['copies']*x['n'], x['spoiled_right']) for x in f)))
    return f"The same recipe on {len(f)} grouped folds, each image judged once by a network that never met its metal: **{k} of {n}** right, **{k/n:.2%}** ({between(k, n, '.2%')}); of spoiled copies (one rung of the ladders each) {sk/sn:.1%}. By `nbs/benchmarks/cross_validation.py`."

def stranger(u, name):
    "The unknown-score in words"
    r = (u or {}).get('models', {}).get(name)
    if not r or 'stored' not in r: return ''
    s = r['scores'][r['stored']['kind']]
    return f"- Pictures that are no steel (textures, photographs, text, noise) stand out with an AUROC of {s['auroc']['all that is no steel']:.2%}; generated clean steel with {s['auroc']['generated clean steel']:.1%}. Real clean steel could not be tried: NEU has none. By `nbs/benchmarks/unknown.py`.\n"

def mapped(r):
    "How good the heatmaps are, in words"
    told = '- A heatmap shows what raised the score of a class; it does not outline a defect.'
    if not r: return told + ' How often it points at the defect was not counted for this network.'
    o = r['overall']; m = o['methods'].get('ours, finer') or o['methods']['ours, last block']; by = (r['reader'] or {}).get('teacher')
    weak = min(r['per_class'].items(), key=lambda v: v[1]['methods']['ours, finer' if 'ours, finer' in o['methods'] else 'ours, last block']['pointing'] - v[1]['coverage'])
    return f"{told} Its strongest place lies in a box that people drew in {m['pointing']:.1%} of {o['n']} images ({m['pointing_95'][0]:.1%} to {m['pointing_95'][1]:.1%}; a random place in {o['coverage']:.1%}), least above chance for {weak[0]}; the first box drawn from it agrees with one of theirs (IoU ≥ 0.5) in {m['corloc']:.1%}, any in {m['corloc_any']:.1%}.{f' Its local reader was taught by the maps of {by}.' if by else ''} By `defect_localise`, see `nbs/04a_localise.ipynb`."

def stages(recipe): return '\n'.join(f"{i}. `{name}`: " + ', '.join(f'{k} {v}' for k,v in o.items()) for i,(name,o) in enumerate(recipe, 1))

def card(name):
    "The card's text"
    home = find_model(name); c,m,manifest = load_config(home),json.loads((home/'metrics.json').read_text()),read_manifest(home/'split.json'); conf = json.loads((home/'confidence.json').read_text())
    parts = {p:len(manifest.part(p)) for p in ('train', 'validation')}; report = told(f'report_{name}.json'); size = (home/'model.safetensors').stat().st_size/1e6
    words = '\n'.join(f'- {s}' for s in report['verdict']) if report else ''
    kept = 'No epoch was chosen by these images: the last one is shipped.' if c.training.get('keep')=='last' and not c.training.get('patience') else 'They also chose the epoch that is shipped.'
    remark = json.loads((home/'recipe.json').read_text()).get('remark'); remark = f'\n\n{remark}' if remark else ''
    promise = ', '.join(f'{k} {e:.1%}' for k,e in zip(c.classes, conf['errors']))
    return f"""# {name}

A `ScratchDetector` with the backbone `{c.backbone}` that names {len(c.classes)} defects of hot-rolled steel: {', '.join(c.classes)}. It reads images squashed to {c.preprocess.size} × {c.preprocess.size} pixels, each {'by its own mean and contrast' if c.preprocess.normalize=='image' else 'by fixed numbers'}. Weights are stored in half precision ({size:.0f} MB) and used in single. `config.json` holds everything needed to use them and the record of every stage of the training; `confidence.json` its calibration, label sets and unknown-score, `quality.json` what an image must be to be judged, `reference.json` what its images looked like, for the drift page.

## How good it is

On images whose metal was kept out of the training ({manifest.how}), {counted(m)}

{kept} The recipe (size, epochs, augmentation) was found by trials on this same part, which flatters a little. Measured on a CPU, with the stored weights, by

```sh
defect_validate {name} ../shared/neu-det --out defect_nbdev/weights/{name}/metrics.json
```

{folded(told(f'cross_validation_{name}.json'))}

The report of `defect_eval` in words (its probabilities were calibrated on these very images, so what it says of them flatters a little):

{words}

## Data

{parts['train']} training and {parts['validation']} validation images of NEU-DET. NEU's images are crops of fewer strips; all that show the same metal, under any shift and quarter turn, are on one side. `split.json` lists who was what.

## Recipe

`recipe.json` holds it; one command runs it again: `defect_retrain {name} ../shared/neu-det --out runs/again --imagenet FILE`. Its stages, with the options of `defect_train`:

{stages(read_recipe(home/'recipe.json'))}{remark}

Trained on: {c.training['device']}. Another processor rounds differently, so weights made again are not the same to the bit.

## Limits

- It knows {len(c.classes)} defects of one mill and one camera's grey 200 × 200 crops. Another camera, scale or steel needs its own images and its own measurement.
- Label sets promise that the true class is missing with a chance of at most: {promise}. Less needs more images than the validation part has.
{stranger(told('unknown.json'), name)}{mapped(told(f'localise_{name}.json'))}
- The NEU images are for research use and are not part of this project.
"""

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter); p.add_argument('model'); o = p.parse_args()
    write_text(find_model(o.model)/'README.md', card(o.model)); print(f'{o.model}: card written')

if __name__=='__main__': main()

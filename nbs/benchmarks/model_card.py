"""The card of a model, written from what stands beside its weights and from what the other scripts
measured.

    python nbs/benchmarks/model_card.py neu-lite0

Reads config.json, recipe.json, split.json, metrics.json and confidence.json in the model's folder,
and report_NAME.json, cross_validation_NAME.json, localise_NAME.json, unknown.json, detector.json
and plates.json beside this file where they are. Writes README.md into the model's folder."""
from string import Template

from common import json_beside, make_parser, read_json
from defect_nbdev.core.files import write_text
from defect_nbdev.core.metrics import wilson_interval
from defect_nbdev.core.models import DETECTOR_FILE, find_model
from defect_nbdev.datasets.splits import read_manifest
from defect_nbdev.detection.recipes import has_recipe, read_recipe
from defect_nbdev.model import load_config

TEMPLATE = Template("""# $name

A `ScratchDetector` with the backbone `$backbone` that names $n_classes defects of hot-rolled \
steel: $classes. It reads images squashed to $size × $size pixels, each $normalization. Weights \
are stored in half precision ($megabytes MB) and used in single. `config.json` holds everything \
needed to use them and the record of every stage of the training; `confidence.json` its \
calibration, label sets and unknown-score, `quality.json` what an image must be to be judged, \
`reference.json` what its images looked like, for the drift page.

## How good it is

$judges ($split), $accuracy

$chosen_epoch The recipe (size, epochs, augmentation) was found by trials on these images, which \
flatters a little. $measured

$cross_validation

$report

$boxes## Data

$n_train training and $n_validation validation images of NEU-DET. NEU's images are crops of fewer \
strips; all that show the same metal, under any shift and quarter turn, are on one side. \
`split.json` lists who was what.

## Recipe

`recipe.json` holds it; one command runs it again: `defect_retrain $name ../shared/neu-det --out \
runs/again --imagenet FOLDER`, where the folder holds ImageNet weights under the names of the \
backbones. Its stages, with the options of their commands:

$stages

Trained on: $device. Another processor rounds differently, so weights made again are not the same \
to the bit.

## Limits

- It knows $n_classes defects of one mill and one camera's grey 200 × 200 crops. Another camera, \
scale or steel needs its own images and its own measurement.
- Label sets promise that the true class is missing with a chance of at most: $errors. Less needs \
more images than have judged it.
$unknown$heatmaps
- The NEU images are for research use and are not part of this project.
""")


def measured(name):
    "What another script measured, None if it did not"
    return read_json(json_beside(__file__, name))


def interval(right, n, form='.1%'):
    "Wilson's 95 % interval in words"
    low,high = wilson_interval(right, n)
    return f'{low:{form}} to {high:{form}}'


def describe_judges(metrics):
    "Whose numbers these are"
    if 'out_of_fold' not in metrics:
        return 'On images whose metal was kept out of the training'
    says = metrics['out_of_fold']['says']
    return f'{says[0].upper()}{says[1:]}. On these images'


def describe_measurement(metrics, name):
    "What wrote the numbers"
    if 'out_of_fold' in metrics:
        return 'Measured by `defect_train` while the networks judged in turn.'
    return f"""Measured on a CPU, with the stored weights, by

```sh
defect_validate {name} ../shared/neu-det --out defect_nbdev/weights/{name}/metrics.json
```"""


def describe_mistakes(classes, confusion):
    "Which class was taken for which, the most frequent first"
    wrong = [(n, truth, predicted) for truth,row in zip(classes, confusion)
             for predicted,n in zip(classes, row) if n and truth!=predicted]
    mistakes = [f'{n} × {truth} called {predicted}'
                for n,truth,predicted in sorted(wrong, reverse=True)]
    return '; '.join(mistakes) or 'none'


def describe_class(name, metrics):
    "A row of the table of classes"
    n,recall = metrics['n'],metrics['recall']
    return (f"| {name} | {n} | {metrics['precision']:.1%} | {recall:.1%} | "
            f'{interval(round(recall*n), n)} |')


def describe_accuracy(metrics):
    "Right and wrong on the images kept back"
    n,right,per_class = metrics['n'],metrics['right'],metrics['per_class']
    rows = '\n'.join(describe_class(name, of_class) for name,of_class in per_class.items())
    return f"""**{right} of {n}** images are named right: **{metrics['accuracy']:.2%}**, \
95 % Wilson interval {interval(right, n)}.

| class | images | precision | recall | 95 % interval of the recall |
|---|---|---|---|---|
{rows}

Its mistakes: {describe_mistakes(per_class, metrics['confusion'])}."""


def describe_cross_validation(results, is_own, has_head):
    "Cross-validation in words; did the folds run the model's own recipe?"
    if not results:
        return ('The recipe was not repeated on other folds, so how much the number moves from '
                'split to split is not known for this network.')
    folds = results['folds'].values()
    n,right,corrupted_right = (sum(fold[name] for fold in folds)
                               for name in ('n', 'right', 'spoiled_right'))
    corrupted = corrupted_right/(results['copies']*n)
    recipe = 'The same recipe' if is_own else 'Another recipe, which stands with the numbers,'
    if is_own and has_head:
        recipe += ', before the detection head and what the backbone learned with it,'
    return (f'{recipe} on {len(folds)} grouped folds, each image judged once by a network '
            f'that never met its metal: **{right} of {n}** right, **{right/n:.2%}** '
            f"({interval(right, n, '.2%')}); of spoiled copies (one rung of the ladders each) "
            f'{corrupted:.1%}. By `nbs/benchmarks/cross_validation.py`.')


def describe_report(report):
    "What `defect_eval` says of the model"
    if not report:
        return ('`defect_eval` has not been run on it: how it bears disturbed images was not '
                'measured.')
    sentences = '\n'.join(f'- {sentence}' for sentence in report['verdict'])
    return ('The report of `defect_eval` in words (its probabilities were calibrated on these very '
            f'images, so what it says of them flatters a little):\n\n{sentences}')


def describe_unknown(results, name):
    "The unknown-score in words"
    of_model = (results or {}).get('models', {}).get(name)
    if not of_model or 'stored' not in of_model: return ''
    auroc = of_model['scores'][of_model['stored']['kind']]['auroc']
    return ('- Pictures that are no steel (textures, photographs, text, noise) stand out with an '
            f"AUROC of {auroc['all that is no steel']:.2%}; generated clean steel with "
            f"{auroc['generated clean steel']:.1%}. Real clean steel could not be tried: NEU has "
            'none. By `nbs/benchmarks/unknown.py`.\n')


def describe_heatmaps(results):
    "How good the heatmaps are, in words"
    start = '- A heatmap shows what raised the score of a class; it does not outline a defect.'
    if not results:
        return start + ' How often it points at the defect was not counted for this network.'
    overall,per_class = results['overall'],results['per_class']
    method = 'ours, finer' if 'ours, finer' in overall['methods'] else 'ours, last block'

    def lead(name): # over a random place
        return per_class[name]['methods'][method]['pointing'] - per_class[name]['coverage']

    scores = overall['methods'][method]
    low,high = scores['pointing_95']
    teacher = (results['reader'] or {}).get('teacher')
    taught = f' Its local reader was taught by the maps of {teacher}.' if teacher else ''
    return (f'{start} Its strongest place lies in a box that people drew in '
            f"{scores['pointing']:.1%} of {overall['n']} images ({low:.1%} to {high:.1%}; a random "
            f"place in {overall['coverage']:.1%}), least above chance for "
            f'{min(per_class, key=lead)}; the first box drawn from it agrees with one of theirs '
            f"(IoU ≥ 0.5) in {scores['corloc']:.1%}, any in {scores['corloc_any']:.1%}.{taught} "
            'By `defect_localise`, see `nbs/evaluation/11_localisation.ipynb`.')


def describe_boxes(detector, plates):
    "Whether there is a defect, and where, in words; nothing of a model without a detection head"
    if not detector: return ''
    boxes,tiles,by_eye = detector['boxes'],detector['tiles'],detector['tiles_by_eye']
    n = boxes['images']
    lines = [
        'Its detection head draws boxes, and says when there is no defect:', '',
        f"- The first box of an image is right (its class, IoU ≥ 0.5) in {boxes['first_box']:.1%} "
        f"({interval(round(boxes['first_box']*n), n)}) of {n} images; mAP@0.5 is "
        f"{boxes['map50']:.1%}, mAP@0.5:0.95 {boxes['map']:.1%}.",
        f"- Of {tiles['clean']} squares of 80 pixels that touch no box, "
        f"{tiles['false_alarms_at_95']:.1%} are called defective where 95 % of the defects are "
        f"found; of {by_eye['tiles']} that are clean by eye {by_eye['false_alarms_at_95']:.1%}. "
        f"{detector['called_clean']} of {n} images of a defect are called clean."]
    if plates:
        lines.append(f"- On real plates, laid together from crops, it finds {plates['found']} of "
                     f"{plates['boxes']} boxes and invents {plates['false_per_megapixel']:.1f} on "
                     'a million pixels of other metal.')
    told = 'By `nbs/benchmarks/detector.py` and `plates.py`; all of it stands in '
    page = '[Whether, and exactly where](../../../nbs/results/04_whether_and_where.ipynb)'
    return '\n'.join(['## Whether, and where', '', *lines, '', f'{told}{page}.', '', ''])


def describe_stages(path):
    "The stages of a recipe, and its remark"
    lines = []
    for i,(name,options,command) in enumerate(read_recipe(path), 1):
        told = ', '.join(f'{k} {v}' for k,v in options.items())
        lines.append(f'{i}. `{name}`, by `{command}`: {told}')
    remark = read_json(path).get('remark')
    if remark:
        lines += ['', remark]
    return '\n'.join(lines)


def describe_epoch(training):
    if training.get('keep')=='last' and not training.get('patience'):
        return 'No epoch was chosen by these images: the last one is shipped.'
    return 'They also chose the epoch that is shipped.'


def model_card(name):
    "The card's text"
    folder = find_model(name)
    config,manifest = load_config(folder),read_manifest(folder/'split.json')
    report,errors = measured(f'report_{name}.json'),read_json(folder/'confidence.json')['errors']
    metrics,folds = read_json(folder/'metrics.json'),measured(f'cross_validation_{name}.json')
    is_per_image = config.preprocess.normalize=='image'
    return TEMPLATE.substitute(
        name=name, backbone=config.backbone, n_classes=len(config.classes),
        classes=', '.join(config.classes), size=config.preprocess.size,
        normalization='by its own mean and contrast' if is_per_image else 'by fixed numbers',
        megabytes=f"{(folder/'model.safetensors').stat().st_size/1e6:.0f}", split=manifest.how,
        judges=describe_judges(metrics), measured=describe_measurement(metrics, name),
        accuracy=describe_accuracy(metrics),
        chosen_epoch=describe_epoch(config.training),
        cross_validation=describe_cross_validation(
            folds, bool(folds) and has_recipe(folder, folds['recipe']),
            (folder/DETECTOR_FILE).is_file()),
        report=describe_report(report),
        boxes=describe_boxes((measured('detector.json') or {}).get(name),
                             (measured('plates.json') or {}).get(name)),
        n_train=len(manifest.part('train')), n_validation=len(manifest.part('validation')),
        stages=describe_stages(folder/'recipe.json'), device=config.training['device'],
        errors=', '.join(f'{label} {error:.1%}' for label,error in zip(config.classes, errors)),
        unknown=describe_unknown(measured('unknown.json'), name),
        heatmaps=describe_heatmaps(measured(f'localise_{name}.json')))


def main():
    parser = make_parser(__doc__)
    parser.add_argument('model')
    args = parser.parse_args()
    write_text(find_model(args.model)/'README.md', model_card(args.model))
    print(f'{args.model}: card written')


if __name__=='__main__': main()

"""What several benchmarks share: their options, their JSON files, statistics, and the machine."""
import argparse
import hashlib
import json
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

from defect_nbdev.core.cli import processor_name
from defect_nbdev.core.files import write_text

NEU_FOLDER = '../shared/neu-det' # where NEU-DET lies, as seen from the project's top folder
PHOTOGRAPHS_FOLDER = '../shared/photographs' # ordinary photographs, a folder for each kind

cpu_name = processor_name # the processor, as the system calls it


def make_parser(doc):
    "A parser whose help is a script's docstring"
    formatter = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(description=doc, formatter_class=formatter)


def strangers_among(kinds, seed=0):
    """The fifth of the kinds of photographs that nothing learns from, so that they can be
    strangers: those whose name, with the seed, hashes lowest"""
    kinds = list(kinds)

    def hashed(kind):
        return hashlib.sha256(f'{seed}:{kind}'.encode()).hexdigest()
    return sorted(sorted(kinds, key=hashed)[:round(len(kinds)/5)])


def json_beside(script, name=None):
    "Path of a script's result file, which stands beside it"
    script = Path(script)
    return script.with_name(name) if name else script.with_suffix('.json')


def read_json(path, default=None):
    "What a JSON file holds; a default where there is none"
    path = Path(path)
    return json.loads(path.read_text(encoding='utf-8')) if path.is_file() else default


def write_json(path, value, indent=1, **options):
    "Write a JSON file, whole or not at all"
    write_text(path, json.dumps(value, indent=indent, **options) + '\n')


def update_json(path, **parts):
    "Replace parts of a JSON file; it is read again, for another process may have written it"
    write_json(path, {**read_json(path, {}), **parts})


def median_and_range(values, digits):
    "[median, least, most], rounded"
    values = list(values)
    return [round(f(values), digits) for f in (median, min, max)]


def package_versions(*names):
    "Version of each package, None for one that is not installed"
    versions = {}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return versions


def resident_mb(pid, field='VmRSS'):
    "Resident memory of a process on Linux, MiB; VmHWM for the largest it ever was"
    status = Path(f'/proc/{pid}/status').read_text()
    return int(re.search(rf'{field}:\s+(\d+)', status)[1])//1024


def make_trainer(model, train, valid, preprocess, augment, config):
    "A Trainer for two Samples, on the CPU, with images decoded once and no workers"
    # slow: torch
    from defect_nbdev.data import SteelDataset, decode_images, eval_transform, make_loader
    from defect_nbdev.data import train_transform
    from defect_nbdev.datasets.layouts import class_indices
    from defect_nbdev.train import Trainer, make_accelerator

    def loader(samples, transform, is_training):
        _,images = decode_images(samples, preprocess.size)
        targets = class_indices(samples, train.classes)
        dataset = SteelDataset(images, targets, transform, config.seed)
        return make_loader(dataset, 32, is_training, 0, config.seed)

    train_loader = loader(train, train_transform(preprocess, augment), True)
    valid_loader = loader(valid, eval_transform(preprocess), False)
    return Trainer(model, train_loader, valid_loader, config,
                   accelerator=make_accelerator(True, config))

"Packages what settings.ini describes; nothing is configured here."
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

LICENSES = {
    'apache2': 'Apache-2.0', 'mit': 'MIT', 'bsd3': 'BSD-3-Clause', 'gpl3': 'GPL-3.0-or-later',
}
STATUSES = [
    '1 - Planning', '2 - Pre-Alpha', '3 - Alpha', '4 - Beta', '5 - Production/Stable',
    '6 - Mature', '7 - Inactive',
]
ROOT = Path(__file__).parent

parser = ConfigParser(delimiters=['='])
parser.read(ROOT/'settings.ini', encoding='utf-8')
cfg = parser['DEFAULT']
lib = cfg['lib_name']
extras = {
    name.removesuffix('_requirements'): value.split()
    for name, value in cfg.items() if name.endswith('_requirements')
}

setup(
    name=lib,
    version=cfg['version'],
    description=cfg['description'],
    keywords=cfg['keywords'].split(),
    author=cfg['author'],
    author_email=cfg['author_email'],
    url=f"https://github.com/{cfg['user']}/{cfg['repo']}",
    license_expression=LICENSES[cfg['license']],
    long_description=(ROOT/'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    classifiers=[
        f"Development Status :: {STATUSES[int(cfg['status'])-1]}",
        f"Intended Audience :: {cfg['audience']}",
        f"Natural Language :: {cfg['language']}",
        'Programming Language :: Python :: 3 :: Only',
    ],
    # named, so that `pip install -e` puts the clone on the path: a script that lies beside the
    # clone, whose folder has the package's name, would else import the folder
    package_dir={'': '.'},
    packages=find_packages(include=[lib, f'{lib}.*']),
    package_data={lib: cfg['package_data'].split()},
    zip_safe=False,
    python_requires=f">={cfg['min_python']}",
    install_requires=cfg['requirements'].split(),
    extras_require=extras,
    entry_points={
        'console_scripts': cfg['console_scripts'].split(),
        'nbdev': [f'{lib}={lib}._modidx:d'],
    },
)

"""Turns nbs/index.ipynb into README.md, from the project's root:

    jupyter nbconvert --config .ci/readme.py nbs/index.ipynb
"""
import re
from base64 import b64decode

from nbconvert.preprocessors import Preprocessor

PICTURES = {'image/png': 'png', 'image/jpeg': 'jpg'}


class ForReadme(Preprocessor):
    "What the site does with nbdev's directives, done for one Markdown file at the root"
    def preprocess(self, nb, resources):
        nb.metadata['language_info'] = {'name': 'python'} # names the code fences
        visible = [c for c in nb.cells if not re.search(r'^#\|\s*hide\s*$', c.source, re.M)]
        nb.cells = [self.cell(c, resources) for c in visible]
        return nb, resources

    def cell(self, cell, resources):
        if cell.cell_type == 'markdown':
            # links as seen from the root
            cell.source = re.sub(r'\]\((?=[\w/-]+\.ipynb)', '](nbs/', cell.source)
            return cell
        options = dict(re.findall(r'^#\|\s*([\w-]+):\s*(.*)\n', cell.source, re.M))
        for output in cell.outputs:
            self.picture(cell, output, options.get('fig-alt', 'picture'), resources)
        if options.get('echo') == 'false': cell.metadata['transient'] = {'remove_source': True}
        cell.source = re.sub(r'^#\|.*\n', '', cell.source, flags=re.M)
        return cell

    def picture(self, cell, output, alt, resources):
        "A picture becomes a file named as its cell, and a line that says what it shows"
        for kind in PICTURES.keys() & output.get('data', {}).keys():
            name = f'nbs/README_files/{cell.id}.{PICTURES[kind]}'
            resources.setdefault('outputs', {})[name] = b64decode(output['data'][kind])
            output['data'] = {'text/markdown': f'![{alt}]({name})'}


config = get_config() # noqa: F821 (nbconvert defines it for its configuration files)
config.NbConvertApp.export_format = 'markdown'
config.NbConvertApp.output_base = 'README'
config.NbConvertApp.output_files_dir = 'nbs/README_files'
config.FilesWriter.build_directory = '.'
config.ExtractOutputPreprocessor.enabled = False
config.MarkdownExporter.preprocessors = [ForReadme]

"Turns nbs/index.ipynb into README.md, from the project's root: jupyter nbconvert --config .ci/readme.py nbs/index.ipynb"
import re
from base64 import b64decode
from nbconvert.preprocessors import Preprocessor

PICTURES = {'image/png':'png', 'image/jpeg':'jpg'}

class ForReadme(Preprocessor):
    "What the site does with nbdev's directives, done for one Markdown file at the root"
    def preprocess(self, nb, resources):
        nb.metadata['language_info'] = {'name': 'python'}                    # names the code fences
        nb.cells = [self.cell(c, resources) for c in nb.cells if not re.search(r'^#\|\s*hide\s*$', c.source, re.M)]
        return nb, resources

    def cell(self, c, resources):
        if c.cell_type=='markdown': c.source = re.sub(r'\]\((?=[\w/-]+\.ipynb)', '](nbs/', c.source); return c   # links as seen from the root
        said = dict(re.findall(r'^#\|\s*([\w-]+):\s*(.*)\n', c.source, re.M))
        for o in c.outputs: self.picture(c, o, said.get('fig-alt', 'picture'), resources)
        if said.get('echo')=='false': c.metadata['transient'] = {'remove_source': True}
        c.source = re.sub(r'^#\|.*\n', '', c.source, flags=re.M)
        return c

    def picture(self, c, o, alt, resources):
        "A picture becomes a file named as its cell, and a line that says what it shows"
        for kind in PICTURES.keys() & o.get('data', {}).keys():
            name = f'nbs/README_files/{c.id}.{PICTURES[kind]}'
            resources.setdefault('outputs', {})[name] = b64decode(o['data'][kind])
            o['data'] = {'text/markdown': f'![{alt}]({name})'}

c = get_config()
c.NbConvertApp.export_format = 'markdown'
c.NbConvertApp.output_base = 'README'
c.NbConvertApp.output_files_dir = 'nbs/README_files'
c.FilesWriter.build_directory = '.'
c.ExtractOutputPreprocessor.enabled = False
c.MarkdownExporter.preprocessors = [ForReadme]

"Turns nbs/index.ipynb into README.md, from the project's root: jupyter nbconvert --config .ci/readme.py nbs/index.ipynb"
import re
from nbconvert.preprocessors import Preprocessor

class ForReadme(Preprocessor):
    "What the site does with nbdev's directives, done for one Markdown file at the root"
    def preprocess(self, nb, resources):
        nb.metadata['language_info'] = {'name': 'python'}                    # names the code fences
        nb.cells = [self.cell(c) for c in nb.cells if not re.search(r'^#\|\s*hide\s*$', c.source, re.M)]
        return nb, resources

    def cell(self, c):
        if c.cell_type=='markdown': c.source = re.sub(r'\]\((?=[\w-]+\.ipynb)', '](nbs/', c.source)   # links as seen from the root
        elif re.search(r'^#\|\s*echo:\s*false', c.source, re.M): c.metadata['transient'] = {'remove_source': True}
        else: c.source = re.sub(r'^#\|.*\n', '', c.source, flags=re.M)
        return c

c = get_config()
c.NbConvertApp.export_format = 'markdown'
c.NbConvertApp.output_base = 'README'
c.NbConvertApp.output_files_dir = 'nbs/README_files'
c.FilesWriter.build_directory = '.'
c.MarkdownExporter.preprocessors = [ForReadme]

import inspect
import re
from importlib import import_module
from typing import Any, Dict, List

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util import logging

import pyg_sessaug
from pyg_sessaug.registry import models

project = 'pyg_sessaug'
author = copyright = 'The pyg_sessaug authors'
version = release = pyg_sessaug.__version__

extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.autosummary',
    'sphinx.ext.napoleon',
    'sphinx.ext.viewcode',
]
source_suffix = {'.rst': 'restructuredtext', '.md': 'markdown'}
myst_enable_extensions = ['dollarmath', 'amsmath', 'deflist']
myst_heading_anchors = 3

autosummary_generate = False  # The tables of `api/` link to the same page.
add_module_names = False  # Headings tell the module.
autodoc_member_order = 'bysource'
autodoc_inherit_docstrings = False
autodoc_typehints = 'none'  # Docstrings state the types.
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = ['Shapes']

html_theme = 'furo'
html_title = f'pyg_sessaug {release}'
html_math_renderer = 'mathml'
html_static_path = ['_static']
html_css_files = ['pages.css']
html_copy_source = False


# API: every exported name, so that no list has to be kept in step ###########


def exports(name: str) -> List[str]:
    """The public names of a module, but for submodules and plain values."""
    module = import_module(name)
    own = [
        key
        for key, value in vars(module).items()
        if getattr(value, '__module__', None) == name and key[0] != '_'
    ]
    names = getattr(module, '__all__', own)
    return [x for x in names if callable(getattr(module, x))]


def inner(name: str) -> List[str]:
    """The public names of a module that nothing above it exports."""
    parent = import_module(name.rpartition('.')[0])
    return [x for x in exports(name) if not hasattr(parent, x)]


def directive(module: str, name: str) -> str:
    """How autodoc documents a name."""
    is_class = inspect.isclass(getattr(import_module(module), name))
    return 'autoclass' if is_class else 'autofunction'


def render_api(app: Sphinx, docname: str, source: List[str]) -> None:
    if docname.startswith('api/') and hasattr(app.builder, 'templates'):
        source[0] = app.builder.templates.render_string(
            source[0],
            {
                'exports': exports,
                'inner': inner,
                'directive': directive,
                'models': models,
            },
        )


def name_at_home(app: Sphinx, doctree: nodes.document) -> None:
    """Anchors by the module of the code, which its page links back to."""
    for node in doctree.findall(addnodes.desc_signature):
        name = node['fullname']
        exported = getattr(import_module(node['module']), name.split('.')[0])
        home = f'{exported.__module__}.{name}'
        if home not in node['ids']:
            # At the end: the theme styles what a signature begins with.
            node += nodes.target(ids=[home])


def link_names(app: Sphinx, doctree: nodes.document) -> None:
    """Links public names in the code of pages to the API; in Markdown they
    are plain code, which any viewer shows.
    """
    if not str(app.env.doc2path(app.env.docname)).endswith('.md'):
        return
    for code in list(doctree.findall(nodes.literal)):
        name, _, method = code.astext().removesuffix('()').partition('.')
        if name in PUBLIC and not isinstance(code.parent, nodes.reference):
            target = '.'.join(filter(None, (PUBLIC[name], method)))
            link = addnodes.pending_xref(
                refdomain='py', reftype='obj', reftarget=target
            )
            code.replace_self(link)
            link += code


# A name that several modules have links to the last of them.
PUBLIC = {
    name: f'{module}.{name}'
    for module in (
        'pyg_sessaug.training', 'pyg_sessaug.clusters', 'pyg_sessaug.counts',
        'pyg_sessaug.nn', 'pyg_sessaug.transforms', 'pyg_sessaug.datasets',
        'pyg_sessaug',
    )
    for name in exports(module)
}  # fmt: skip


# Narrow screens: what may wrap, and where ##################################

NUMBERS = re.compile(r'(?=.*\d)(?:[-+\u2013\u00b1\d.,%/\[\] ]|to)+')


def guide_wrapping(app: Sphinx, doctree: nodes.document) -> None:
    """Keeps options and numbers whole, and long texts from narrow columns."""
    for code in doctree.findall(nodes.literal):
        if max(map(len, code.astext().split()), default=0) <= 30:
            code['classes'].append('whole')
    for entry in doctree.findall(nodes.entry):
        if len(entry.astext()) > 30:
            entry['classes'].append('text')
        for text in list(entry.findall(nodes.Text)):
            if NUMBERS.fullmatch(text):
                # But an interval may go below its mean, and a second metric:
                kept = re.sub(r'(?<!/) (?!\[)', '\N{NO-BREAK SPACE}', text)
                text.parent.replace(text, nodes.Text(kept))


# Equations: MathML, which browsers draw without a script ###################


def mathml(text: str, node: nodes.Element, block: bool) -> str:
    # Sizes, which docutils does not know and browsers choose:
    text = re.sub(r'\\([bB]igg?[lrm]?|textstyle)(?![a-zA-Z])', '', text)
    if '&' in text and r'\begin' not in text:
        lines = r' \\ '.join(text.split('\n\n'))
        text = rf'\begin{{aligned}} {lines} \end{{aligned}}'
    try:
        return tex2mathml(text, as_block=block)
    except MathError as error:
        logging.getLogger(__name__).warning(
            'no MathML for %r: %s', text, error, location=node
        )
        return f'<code>{nodes.unescape(text)}</code>'


def visit_math(self: Any, node: nodes.Element) -> None:
    self.body.append(mathml(node.astext(), node, False))
    raise nodes.SkipNode


def visit_displaymath(self: Any, node: nodes.Element) -> None:
    # `\tag` holds a number of the thesis.
    text, *number = re.split(r'\\tag\{([^}]*)\}', node.astext())
    self.body.append(self.starttag(node, 'div', CLASS='math'))
    if number:
        self.body.append(f'<span class="eqno">({number[0]})</span>')
    self.body.append(mathml(text, node, True))
    self.body.append('</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> Dict[str, bool]:
    app.add_html_math_renderer(
        'mathml', (visit_math, None), (visit_displaymath, None)
    )
    app.connect('source-read', render_api)
    app.connect('doctree-read', name_at_home)
    app.connect('doctree-read', link_names)
    app.connect('doctree-read', guide_wrapping)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}

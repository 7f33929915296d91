"""Metadata of pyg_sessaug; imports nothing but setuptools."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent


def read_version() -> str:
    """Read the version as text, without importing the package."""
    text = (ROOT / 'pyg_sessaug' / '__init__.py').read_text('utf-8')
    match = re.search(r"^__version__ = '([^']+)'$", text, re.MULTILINE)
    if match is None:
        raise RuntimeError('No __version__ in pyg_sessaug/__init__.py')
    return match.group(1)


install_requires = [
    'torch>=2.4',
    'torch-geometric>=2.6',
    'duckdb>=1.4',
    'scikit-learn>=1.3',
    'numpy>=1.26',
    'filelock',
    'psutil',
    'tqdm',
]

# What read raw logs until version 0.1; DuckDB does now.
logs_requires: list[str] = []

plot_requires = ['matplotlib']

# torch-scatter compiles against the installed torch and needs
# `--no-build-isolation`; no other extra includes it.
scatter_requires = ['torch-scatter']

# Word2Vec, for one study of the thesis:
studies_requires = [*plot_requires, 'gensim']

# An index of nearest neighbours:
index_requires = ['faiss-cpu']

# Programs for ONNX Runtime; the tests skip without:
onnx_requires = ['onnx', 'onnxscript', 'onnxruntime']

# An HTTP server of recommendations:
serve_requires = ['starlette', 'uvicorn']

# A search for settings:
tune_requires = ['optuna']

full_requires = plot_requires

# All that the tests, the benchmarks and their `--help` import:
test_requires = [
    *full_requires,
    *studies_requires,
    *index_requires,
    'pandas',
    'pyarrow',
    'scipy',
    'pytest',
    'pytest-cov',
    'pytest-xdist',
    'hypothesis',
    'ruff',
    'mypy',
]

dev_requires = [*test_requires, 'pre-commit']

docs_requires = ['sphinx', 'furo', 'myst-parser']

setup(
    name='pyg_sessaug',
    version=read_version(),
    description='Session-based recommendation with augmented session graphs '
    'for PyTorch Geometric',
    long_description=(ROOT / 'README.md').read_text('utf-8'),
    long_description_content_type='text/markdown',
    author='The pyg_sessaug authors',
    license='MIT',
    keywords=[
        'deep-learning',
        'pytorch',
        'graph-neural-networks',
        'session-based-recommendation',
        'data-augmentation',
    ],
    classifiers=[
        'Development Status :: 4 - Beta',
        'Intended Audience :: Science/Research',
        'Programming Language :: Python :: 3 :: Only',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
        'Typing :: Typed',
    ],
    python_requires='>=3.10',
    # A path to the clone. The default, a finder, comes after folders of the
    # same name: beside a clone called pyg_sessaug, that would be imported.
    options={'editable_wheel': {'mode': 'compat'}},
    install_requires=install_requires,
    extras_require={
        'logs': logs_requires,
        'plot': plot_requires,
        'studies': studies_requires,
        'index': index_requires,
        'onnx': onnx_requires,
        'serve': serve_requires,
        'tune': tune_requires,
        'scatter': scatter_requires,
        'full': full_requires,
        'test': test_requires,
        'dev': dev_requires,
        'docs': docs_requires,
    },
    packages=find_packages(include=['pyg_sessaug*']),
    package_data={'pyg_sessaug': ['py.typed']},
    zip_safe=False,
)

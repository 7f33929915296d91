r"""Diginetica."""

from pyg_sessaug.datasets.log import LogDataset


class Diginetica(LogDataset):
    r"""Clicks of an online shop from CIKM Cup 2016."""
    log_names = ('train-item-views.csv', )
    optional_log_names = ('product-categories.csv', )
    srgnn_url = ('https://raw.githubusercontent.com/yangbo1973/CM-HGNN/'
                 '90aae141b57c493201d83ae32f0ddd22fb51471a/'
                 'datasets/diginetica')
    srgnn_sha256 = {
        'all_train_seq.txt':
        '04d71a36f20d0aa8c01b06c02f845a6006132d5a81d2e1faaae6f19ed192527d',
        'test.txt':
        'f71afb1a55e6fc42e04c3ce3ea37a7d785767a877de427ef0b042292bbee34b3',
        'category.txt':
        'b070892cd70cbce3e1ca934d52f321bf841f955221cb0c77f6ceb78444db4e7c',
    }

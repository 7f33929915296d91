r"""YooChoose."""

from typing import Any, Callable, Dict, Optional

from pyg_sessaug.datasets.log import LogDataset

# Training samples of the full log in SR-GNN's preparation:
FULL_SAMPLES = 23_670_982


class YooChoose(LogDataset):
    r"""Clicks of an online shop from RecSys Challenge 2015."""
    log_names = ('yoochoose-clicks.dat', )
    srgnn_url = ('https://raw.githubusercontent.com/chenjh1988/MTD/'
                 'b471a6df5e09e8f179a2dbfd185571f74bb9311e/'
                 'datasets/yoochoose1_64')
    srgnn_sha256 = {
        'all_train_seq.txt':
        '33af7c6292c6bd5080c2d694cce78e9b39a7eb987421a72b93edaae47204ece5',
        'test.txt':
        '643fd2fa56a4fbc3daf1cf623146d3ba3897e96cfa9ff8f47b8062b159af6c6e',
    }

    def __init__(
        self,
        root: str,
        split: str = 'train',
        transform: Optional[Callable] = None,
        pre_transform: Optional[Callable] = None,
        force_reload: bool = False,
        source: str = 'auto',
        val_ratio: float = 0.1,
        seed: int = 0,
        fraction: int = 64,
        newest: float = 1.0,
        **kwargs: Any,
    ) -> None:
        if fraction < 1 or int(fraction) != fraction:
            raise ValueError(
                f'YooChoose: `fraction` 64 keeps the newest 1/64 of the '
                f'training samples, so it must be a positive int, got '
                f'{fraction}; `newest` takes a share of the sessions')
        self.sample_fraction = int(fraction)
        super().__init__(root, split, transform, pre_transform, force_reload,
                         source, val_ratio, seed, fraction=newest, **kwargs)

    @property
    def settings(self) -> Dict[str, Any]:
        settings = super().settings
        newest = settings.pop('fraction')
        return dict(settings, fraction=self.sample_fraction, newest=newest)

    def prepare(self) -> Dict[str, Any]:
        raw = super().prepare()
        self._check_fraction(raw['train'].num_samples)
        return raw

    def _check_fraction(self, num_samples: int) -> None:
        # SR-GNN's list keeps the session whole that its cut runs through.
        held = next((f for f in (1, 4)
                     if 0 <= num_samples - FULL_SAMPLES // f < 1000), 64)
        if self.sample_fraction != held:
            raise ValueError(
                f'YooChoose: fraction={self.sample_fraction}, but the files '
                f'in {self.raw_dir} hold 1/{held}; pass fraction={held}, or '
                f'use the official log')

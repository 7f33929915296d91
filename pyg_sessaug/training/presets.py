r"""Arguments of training by name, and what suits the size of a log."""

import math
from typing import Any, Dict

from pyg_sessaug.registry import PRESETS

#: Presets of a network beside neighbours, and whether it is trained on
#: everything in the end.
STRONGEST = {'quick': False, 'best': True}
# Of fewer steps before the rate first falls a model learns next to nothing.
FEW_STEPS = 2_000
#: Appendix A.2 of the thesis, the defaults of :func:`fit`.
THESIS: Dict[str, Any] = dict(
    epochs=20,
    batch_size=100,
    lr=1e-3,
    weight_decay=1e-5,
    patience=5,
    schedule='steps',
    decay_every=2.0,
)


def preset(name: str, train: Any, **given: Any) -> Dict[str, Any]:
    r"""Arguments of :func:`~pyg_sessaug.training.fit`.

    .. code-block:: python

        fit(model, train, val, **preset('auto', train))

    :obj:`"thesis"` is Appendix A.2, made for hundreds of thousands of clicks:
    of a small log its learning rate falls after a few steps. :obj:`"auto"` is
    five epochs of batches of 256 where these have 2,000 steps; below, batches
    are smaller and epochs so many that there are as many steps, early
    stopping permitting. Its rate rises for some steps, then falls to zero
    along a cosine. :obj:`"quick"` has two such epochs, and :obj:`"best"`
    draws newer sessions more often, which random validation cannot tell but
    later sessions do. :class:`~pyg_sessaug.nn.SRGNNPlus` and
    :func:`~pyg_sessaug.training.fit_strongest` go with both.

    Args:
        name (str): :obj:`"auto"`, :obj:`"quick"`, :obj:`"best"` or
            :obj:`"thesis"`.
        train (SessionDataset or Subset): The training samples.
        **given (optional): Arguments of one's own, which others then suit;
            :obj:`decay_steps` or :obj:`decay_every` mean a rate that falls by
            steps.

    Raises:
        ValueError: If there is no such preset, or no sample.
    """
    if name not in PRESETS:
        raise ValueError(
            f'unknown preset {name!r}; choose one of {list(PRESETS)}'
        )
    if len(train) == 0:
        raise ValueError('preset got a data set without samples')
    if name == 'thesis':
        return {**THESIS, **given}
    batch_size = given.get('batch_size')
    if batch_size is None:
        batch_size = 32
        while batch_size < 256 and len(train) > 1000 * batch_size:
            batch_size *= 2
    steps = math.ceil(len(train) / batch_size)
    epochs = max(2 if name == 'quick' else 5, math.ceil(FEW_STEPS / steps))
    auto: Dict[str, Any] = dict(
        epochs=epochs,
        batch_size=batch_size,
        lr=5e-3 if batch_size <= 32 else 2e-3,
        weight_decay=1e-5,
        patience=10 if batch_size <= 32 else 5,
        schedule='cosine',
        # At most half of all steps, however few were asked for.
        warmup=min(200, 2 * steps, steps * given.get('epochs', epochs) // 2),
    )
    if name == 'best':
        auto['recency'] = 1.0
    if 'decay_steps' in given or 'decay_every' in given:
        auto['schedule'] = 'steps'
    return {**auto, **given}


def first_fall(
    num_samples: int, batch_size: int = 100, decay_every: float = 2.0
) -> int:
    r"""Steps before the learning rate first falls, by epochs.

    Args:
        num_samples (int): Training samples.
        batch_size (int): Samples per step. (default: :obj:`100`)
        decay_every (float): Epochs between two decays. (default: :obj:`2.0`)
    """
    return max(1, round(decay_every * math.ceil(num_samples / batch_size)))

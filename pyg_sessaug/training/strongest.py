r"""The strongest model: a network beside neighbours, trained on everything."""

import os
import os.path as osp
from tempfile import TemporaryDirectory
from typing import Any, Callable, Dict, List, Optional, Tuple

from torch.nn import Module

from pyg_sessaug.counts import VSKNN
from pyg_sessaug.nn.interface import device_of
from pyg_sessaug.nn.models.blend import Blend
from pyg_sessaug.nn.models.session_term import SessionTerm
from pyg_sessaug.training.augmentations import derive
from pyg_sessaug.training.augmented import new_model
from pyg_sessaug.training.blend import fit_blend
from pyg_sessaug.training.distributed import rank
from pyg_sessaug.training.fit import fit
from pyg_sessaug.training.state import alone
from pyg_sessaug.training.terms import fit_categories, fit_repeats


def fit_strongest(
    make_model: Callable[[], Module],
    train: Any,
    val: Any,
    everything: Any,
    refit: bool = True,
    seed: int = 0,
    checkpoint: Optional[str] = None,
    resume: bool = False,
    **kwargs: Any,
) -> Tuple[Blend, List[Dict[str, float]]]:
    r"""Trains a network, gives it a term for repeats and, where items have
    categories, one for these, and mixes it with the neighbours of
    :class:`~pyg_sessaug.counts.VSKNN`.

    Validation sessions choose the epoch, the terms and the weights of the
    mixture; then neighbours are sought among all sessions and, with
    :obj:`refit`, the network is trained anew on all of them for as many
    epochs. Terms and weights stay.

    Args:
        make_model (callable): Returns a network with new weights.
        train (SessionDataset): Training samples.
        val (SessionDataset): Validation samples.
        everything (SessionDataset): All training sessions, those of
            validation among them, as by :obj:`val_ratio=0`.
        refit (bool): Whether the network gets them, too.
            (default: :obj:`True`)
        seed (int): All random numbers derive from it. (default: :obj:`0`)
        checkpoint (str, optional): File that holds the state after every
            epoch; :obj:`"{checkpoint}.refit"` that of the second training.
            (default: :obj:`None`)
        resume (bool): Whether to go on from these files.
            (default: :obj:`False`)
        **kwargs (optional): Further arguments of
            :func:`~pyg_sessaug.training.fit`, such as those of
            :func:`~pyg_sessaug.training.preset`.

    Returns:
        (Blend, list): The mixture, and what
        :func:`~pyg_sessaug.training.fit` returns.
    """
    kwargs['seed'] = derive(seed, 'base', 'training')
    with TemporaryDirectory() as folder, alone(checkpoint):
        # The second training reads what the first has found.
        kwargs['checkpoint'] = checkpoint or osp.join(folder, 'state')
        stale = f'{kwargs["checkpoint"]}.refit'
        if not resume and rank() == 0 and osp.exists(stale):
            os.unlink(stale)
        model = new_model(make_model, seed)
        history = fit(model, train, val, resume=resume, **kwargs)
        show = kwargs.get('progress', True)
        term: SessionTerm = fit_repeats(model, val, progress=show)
        inner = term
        if getattr(val, 'categories', None) is not None:
            term = fit_categories(inner, val, progress=show)
        members = [term, VSKNN(train.num_items).fit(train)]
        blend = fit_blend(members, val, progress=show)
        if refit:
            model = new_model(make_model, seed)
            again = {**kwargs, 'resume': True, 'refit': everything}
            history = fit(model, train, val, **again)
            inner.model = model
    neighbors = VSKNN(train.num_items).fit(everything)
    blend = Blend([term, neighbors], blend.weight.tolist())
    return blend.to(device_of(blend)).eval(), history

r"""How much a model has to favour what a session has clicked."""

from typing import Any, Optional, TypeVar

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Batch

from pyg_sessaug.comparison import paired_bootstrap
from pyg_sessaug.evaluation import batch_size_of, rank_samples, run_batches
from pyg_sessaug.loader import SessionLoader
from pyg_sessaug.nn.interface import device_of
from pyg_sessaug.nn.models.blend import log_probability
from pyg_sessaug.nn.models.category_term import CategoryTerm
from pyg_sessaug.nn.models.repeat_term import RepeatTerm
from pyg_sessaug.nn.models.session_term import SessionTerm

T = TypeVar('T', bound=SessionTerm)


def fit_repeats(
    model: Module, val: Any, num_clicks: int = 12, progress: bool = True
) -> RepeatTerm:
    r"""Gives a trained model the term for repeats that validation likes
    best.

    The values :math:`t` maximise the likelihood of the targets :math:`y` of
    the validation samples,

    .. math::
        \sum_{\textrm{samples}} \Big( t_y - \log \Big( 1 + \sum_{v \in S}
        p_v \, (e^{t_v} - 1) \Big) \Big) - \tfrac{1}{2} \lVert \mathbf{a}
        \rVert^2 - \tfrac{1}{2} \lVert \mathbf{b} \rVert^2,

    which is concave; the last terms keep what no sample tells near zero.
    Likelier targets need not stand higher in the lists, and few samples tell
    of chance: where the 95 % interval of what NDCG@20 of validation gains,
    by :func:`~pyg_sessaug.comparison.paired_bootstrap`, is not above zero,
    all values stay zero. The model scores the samples three times: for the
    values, and to rank without and with them.

    Args:
        model (torch.nn.Module): The model, which stays as it is.
        val (SessionDataset or Subset): Samples that it was not trained on.
        num_clicks (int): See :class:`~pyg_sessaug.nn.RepeatTerm`.
            (default: :obj:`12`)
        progress (bool): Whether a terminal shows bars where it takes over
            five seconds. (default: :obj:`True`)
    """
    term = RepeatTerm(model, num_clicks).to(device_of(model))
    return _fit(term, val, progress)


def fit_categories(
    model: Module,
    val: Any,
    category: Optional[Tensor] = None,
    num_clicks: int = 12,
    progress: bool = True,
) -> CategoryTerm:
    r"""Gives a trained model the term for categories that validation likes
    best, as :func:`fit_repeats` does, with the probabilities of all items of
    a category for those of an item.

    Args:
        model (torch.nn.Module): The model, which stays as it is.
        val (SessionDataset or Subset): Samples that it was not trained on.
        category (Tensor, optional): Category of each item, ``[num_items]``,
            int64, -1 where it is not known. (default: those of :obj:`val`)
        num_clicks (int): See :class:`~pyg_sessaug.nn.CategoryTerm`.
            (default: :obj:`12`)
        progress (bool): Whether a terminal shows bars where it takes over
            five seconds. (default: :obj:`True`)

    Raises:
        ValueError: If the data set knows no categories.
    """
    if category is None:
        category = getattr(val, 'categories', None)
    if category is None:
        raise ValueError(
            f'fit_categories got a {type(val).__name__} without categories; '
            f'pass `category`, or leave the term out'
        )
    term = CategoryTerm(model, category, num_clicks).to(device_of(model))
    return _fit(term, val, progress)


def _fit(term: T, val: Any, progress: bool) -> T:
    done = 0

    def of_clicked(batch: Batch) -> Tensor:
        nonlocal done
        session, group, *kinds = term.clicked(batch)
        log_p = log_probability(term.model, batch)
        share = term.share(log_p, session, group)
        hit = group == term.group(batch.y)[session]
        columns = [session + done, *kinds, hit, share]
        done += batch.num_graphs
        return torch.stack([x.cpu().double() for x in columns], dim=1)

    rows = run_batches(term, of_clicked, val, batch_size_of(term), progress)
    sample, since, before, hit, share = rows.unbind(dim=1)
    index = [x.long() for x in (sample, since, before)]
    size = 2, term.num_clicks
    bias = torch.zeros(size, dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [bias], max_iter=100, line_search_fn='strong_wolfe'
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = bias[0][index[1]] + bias[1][index[2]]
        more = share.new_zeros(done).index_add(
            0, index[0], share * torch.expm1(value)
        )
        likelihood = (hit * value).sum() - more.log1p().sum()
        total = (bias.square().sum() / 2 - likelihood) / done
        total.backward()
        return total

    optimizer.step(loss)
    plain = _ndcg(rank_samples(term.model, val, progress=progress))
    term.bias.copy_(bias.detach())
    gain = _ndcg(rank_samples(term, val, progress=progress)) - plain
    session = SessionLoader(val).places[0].unique(return_inverse=True)[1]
    if float(paired_bootstrap(gain, session, num_draws=1000).low) <= 0:
        term.bias.zero_()
    return term.eval()


def _ndcg(rank: Tensor) -> Tensor:
    r"""What each sample adds to NDCG@20, ``[1, N]``."""
    rank = rank.cpu().double()
    return ((rank <= 20) / (rank + 1).log2()).unsqueeze(0)

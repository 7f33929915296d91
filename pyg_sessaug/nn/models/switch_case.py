r"""One model for each cluster of sessions."""

import copy
from typing import Any, Callable, Optional

import torch
from torch import Tensor
from torch.nn import ModuleList
from torch_geometric.data import Data

from pyg_sessaug.clusters.item_clusters import gaussian_mixture
from pyg_sessaug.data.devices import widest
from pyg_sessaug.data.graphs import select_graphs
from pyg_sessaug.nn.models.session_model import SessionModel


class SwitchCase(torch.nn.Module):
    r"""The ensemble of chapter 5.4.1 of the thesis (Algorithm 2).

    A Gaussian mixture of session vectors of a global model tells the cluster
    of a session, and the model of that cluster does the rest:

    .. math::
        c(s) = \arg\max_k \; \log \pi_k + \log \mathcal{N}(\mathbf{s};
        \boldsymbol{\mu}_k, \boldsymbol{\Sigma}_k)

    The models of the clusters start as copies of the global one.
    :func:`~pyg_sessaug.training.switch_case.fit_switch_case` fits the mixture
    and fine-tunes them (Algorithm 1).

    Args:
        model (SessionModel): The global model; it only tells clusters here
            and never trains.
        num_clusters (int): Number of clusters. (default: :obj:`8`)

    Example:
        >>> import torch
        >>> from pyg_sessaug.nn import SRGNN, SwitchCase
        >>> model = SwitchCase(SRGNN(num_items=9, hidden_channels=4), 2)
        >>> model.fit_clusters(torch.randn(40, 4))  # Vectors of sessions
        >>> len(model.models)
        2
    """

    mean: Tensor
    whiten: Tensor
    offset: Tensor

    def __init__(self, model: SessionModel, num_clusters: int = 8) -> None:
        super().__init__()
        if num_clusters < 1:
            raise ValueError(
                f'SwitchCase got num_clusters={num_clusters}; pass at least 1'
            )
        training = model.training
        self.num_clusters = num_clusters
        self.models = ModuleList(
            copy.deepcopy(model) for _ in range(num_clusters)
        )
        self.model = model
        # In float64, which covariances of 100 channels need.
        d = model.hidden_channels
        for name, size in (('mean', [d]), ('whiten', [d, d]), ('offset', [])):
            unknown = torch.full([num_clusters, *size], torch.nan).double()
            self.register_buffer(name, unknown)
        self.train(training)

    def _apply(self, fn: Callable[..., Tensor], recurse: bool = True) -> Any:
        # Where there is no float64, as on MPS, the mixture has 32 bits.
        dtype = widest(fn(self.mean.new_empty(0, dtype=torch.float32)))

        def move(x: Tensor) -> Tensor:
            return fn(x.to(dtype) if x.dtype == torch.float64 else x)

        apply: Any = super()._apply
        return apply(move, recurse)

    @property
    def test_transform(self) -> Any:
        r"""What graphs go through before they are scored."""
        return getattr(self.model, 'test_transform', None)

    @property
    def num_items(self) -> int:
        r"""Size of the vocabulary."""
        return self.model.num_items

    @property
    def item_embedding(self) -> Tensor:
        r"""Item embeddings of the global model, ``[num_items, d]``."""
        return self.model.item_embedding

    def fit_clusters(self, vector: Tensor) -> None:
        r"""Fits the mixture, with full covariances and by a seed from
        PyTorch's generator.

        Args:
            vector (Tensor): Session vectors of the global model, ``[n, d]``,
                best of sessions that it was not trained on.
        """
        if vector.size(0) < self.num_clusters:
            raise ValueError(
                f'SwitchCase got {vector.size(0)} session vectors for '
                f'{self.num_clusters} clusters; pass more, or ask for fewer'
            )
        mixture = gaussian_mixture(
            vector.detach().cpu().double(), self.num_clusters
        )
        whiten = torch.from_numpy(mixture.precisions_cholesky_)
        volume = whiten.diagonal(dim1=1, dim2=2).log().sum(dim=1)
        self.mean.copy_(torch.from_numpy(mixture.means_))
        self.whiten.copy_(whiten)
        self.offset.copy_(torch.from_numpy(mixture.weights_).log() + volume)

    @torch.no_grad()
    def label(self, data: Data) -> Tensor:
        r"""Cluster of each session, ``[B]``, int64.

        Args:
            data (Data or Batch): Session graphs with :obj:`edge_attr`.
        """
        if bool(self.offset.isnan().any()):
            raise RuntimeError(
                'SwitchCase has no clusters yet; call fit_clusters, or train '
                'it by fit_switch_case'
            )
        apart = self.model(data).to(self.mean).unsqueeze(1) - self.mean
        white = torch.einsum('bkd,kde->bke', apart, self.whiten)
        return (self.offset - white.square().sum(dim=2) / 2).argmax(dim=1)

    def forward(self, data: Data) -> Tensor:
        r"""Session vectors of each session's own model, ``[B, d]``."""
        return self._join(data, lambda model, part: model(part))

    def score(self, data: Data) -> Tensor:
        r"""Scores of all items, ``[B, num_items]``, float32."""
        return self._join(data, lambda model, part: model.score(part))

    def loss(self, data: Data) -> Tensor:
        r"""Mean softmax cross-entropy of the targets over all items, each
        under its session's own model.
        """
        loss = self._join(
            data,
            lambda model, part: model.loss(part).expand(part.y.numel(), 1),
        )
        return loss.mean()

    def _join(self, data: Data, run: Callable[[Any, Data], Tensor]) -> Tensor:
        r"""Rows of all sessions, each from the model of its cluster."""
        label = self.label(data)
        clusters = label.unique().tolist()
        if len(clusters) <= 1:  # None, if there is no session.
            model = self.models[clusters[0]] if clusters else self.model
            return run(model, data)
        out: Optional[Tensor] = None
        for cluster in clusters:
            keep = label == cluster
            rows = run(self.models[cluster], select_graphs(data, keep))
            if out is None:
                out = rows.new_empty(label.numel(), rows.size(1))
            out[keep] = rows
        assert out is not None  # There are sessions.
        return out

    def train(self, mode: bool = True) -> 'SwitchCase':
        r"""Sets the mode of all models but the global one."""
        super().train(mode)
        self.model.eval()
        return self

    def __repr__(self) -> str:
        return (
            f'{self.__class__.__name__}({self.model}, '
            f'num_clusters={self.num_clusters})'
        )

r"""What models of click sequences share."""

from torch import Tensor
from torch_geometric.data import Data

from pyg_sessaug.nn.dropout import dropout
from pyg_sessaug.nn.models.session_model import SessionModel


class SequenceModel(SessionModel):
    r"""Reads the clicks of a session one after another, and no edges.

    Items are looked up once for each click: :meth:`session` gets vectors
    ``[L, d]`` in the order of the clicks, session after session, with
    dropout of its own on each.
    """

    def items(self, data: Data) -> Tensor:
        r"""The item of each click, ``[L]``, int64.

        Args:
            data (Batch): The session graphs.
        """
        item: Tensor = data.x[data.click_index]
        return item

    def _drop(self, x: Tensor) -> Tensor:
        return dropout(x, self.dropout, self.training)

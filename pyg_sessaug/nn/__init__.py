r"""Layers, models and losses for session graphs."""

from pyg_sessaug.nn.aggr.attention_readout import AttentionReadout
from pyg_sessaug.nn.aggr.context_readout import ContextReadout
from pyg_sessaug.nn.aggr.positions import (
    ForwardPositions,
    ReversedPositions,
)
from pyg_sessaug.nn.conv.channel_combination import ChannelCombination
from pyg_sessaug.nn.conv.click_attention import ClickAttention
from pyg_sessaug.nn.conv.gated_session_conv import GatedSessionConv
from pyg_sessaug.nn.loss.catalogue import catalogue_cross_entropy
from pyg_sessaug.nn.loss.sampled import Negatives, sampled_cross_entropy
from pyg_sessaug.nn.loss.sharded import (
    shard_table,
    sharded_cross_entropy,
    sharded_lookup,
    sharded_rank,
)
from pyg_sessaug.nn.loss.target_attention import (
    target_attention_cross_entropy,
    target_attention_scores,
)
from pyg_sessaug.nn.models.attenmixer import AttenMixer
from pyg_sessaug.nn.models.blend import Blend
from pyg_sessaug.nn.models.category_term import CategoryTerm
from pyg_sessaug.nn.models.core import CORE
from pyg_sessaug.nn.models.covariance_srgnn import CovarianceSRGNN
from pyg_sessaug.nn.models.gcegnn import GCEGNN
from pyg_sessaug.nn.models.gcsan import GCSAN
from pyg_sessaug.nn.models.gru4rec import GRU4Rec
from pyg_sessaug.nn.models.lessr import LESSR
from pyg_sessaug.nn.models.niser import NISER
from pyg_sessaug.nn.models.repeat_term import RepeatTerm
from pyg_sessaug.nn.models.sasrec import SASRec
from pyg_sessaug.nn.models.session_model import SessionModel
from pyg_sessaug.nn.models.sgnnhn import SGNNHN
from pyg_sessaug.nn.models.srgnn import SRGNN
from pyg_sessaug.nn.models.srgnn_modes import SRGNNModes
from pyg_sessaug.nn.models.srgnn_plus import SRGNNPlus
from pyg_sessaug.nn.models.switch_case import SwitchCase
from pyg_sessaug.nn.models.tagnn import TAGNN

__all__ = [
    'AttenMixer',
    'AttentionReadout',
    'Blend',
    'CORE',
    'CategoryTerm',
    'ChannelCombination',
    'ClickAttention',
    'ContextReadout',
    'CovarianceSRGNN',
    'ForwardPositions',
    'GCEGNN',
    'GCSAN',
    'GRU4Rec',
    'GatedSessionConv',
    'LESSR',
    'NISER',
    'Negatives',
    'RepeatTerm',
    'ReversedPositions',
    'SASRec',
    'SGNNHN',
    'SRGNN',
    'SRGNNModes',
    'SRGNNPlus',
    'SessionModel',
    'SwitchCase',
    'TAGNN',
    'catalogue_cross_entropy',
    'sampled_cross_entropy',
    'shard_table',
    'sharded_cross_entropy',
    'sharded_lookup',
    'sharded_rank',
    'target_attention_cross_entropy',
    'target_attention_scores',
]

"""Walk pooling: how random walks around a pair of nodes change when a link between the two is added."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from gnn.layers.enclosing_subgraph import EnclosingSubgraphs
from gnn.layers.rules import Axis, Channels, channels
from gnn.layers.symmetric_pattern import SymmetricPattern

FEATURES_PER_LENGTH = 5
NO_NEIGHBOUR = -1e4  # log of the total weight of no neighbours at all: every walk then takes the link


class WalkPooling(nn.Module):
    """Random-walk profiles of enclosing subgraphs with attention as edge weights, several heads.

    An edge s -> t has the logit l_ts = k(z_t) . q(z_s) / sqrt(hidden_channels), where q and k are
    Linear(dropout(LeakyReLU(Linear(z)))). P+ and P- are the softmax over the neighbours of t with and without the
    link of the pair (i, j); a node without neighbours has a row of zeros. Per head and length tau = 2 ..
    walk_length + 1 the features are those of `walk_profile`; one more per head is sigmoid(l_ij) + sigmoid(l_ji).

    Source: Pan, Shi and Dokmanic, arXiv 2110.04375; equations and constants as in the authors' program
    (DaDaCheng/WalkPooling, src/model.py: dropout 0.5, LeakyReLU 0.2, walks from length 2 on).
    Shapes: z [total nodes, in_channels] -> [pairs, heads * (5 * walk_length + 1)].
    """

    def __init__(
        self, in_channels: int, hidden_channels: int, heads: int, walk_length: int, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.hidden_channels, self.heads, self.walk_length, self.dropout = hidden_channels, heads, walk_length, dropout
        self.lin_key1 = nn.Linear(in_channels, hidden_channels)
        self.lin_query1 = nn.Linear(in_channels, hidden_channels)
        self.lin_key2 = nn.Linear(hidden_channels, heads * hidden_channels)
        self.lin_query2 = nn.Linear(hidden_channels, heads * hidden_channels)

    @property
    def out_channels(self) -> int:
        """Features per pair."""
        return self.heads * (FEATURES_PER_LENGTH * self.walk_length + 1)

    def forward(self, z: Tensor, subgraphs: EnclosingSubgraphs) -> Tensor:
        """Edge weights from the nodes, then the walks."""
        key = self._by_head(self.lin_key2(self._hidden(self.lin_key1(z))))
        query = self._by_head(self.lin_query2(self._hidden(self.lin_query1(z)))) / self.hidden_channels**0.5
        pattern = subgraphs.pattern.repeated(self.heads)
        ends = _by_copy(subgraphs.ends, len(z), self.heads)
        link = (_rows(key, ends) * _rows(query, ends.flip(1))).sum(2)
        transition, share = transitions(pattern, pattern.edge_product(key, query), ends, link)
        profile = walk_profile(pattern, transition, ends, share, self.walk_length + 1)
        features = torch.cat([profile, torch.sigmoid(link).sum(1, keepdim=True)], dim=1)
        return features.unflatten(0, (self.heads, len(subgraphs))).transpose(0, 1).flatten(1)

    def _hidden(self, projected: Tensor) -> Tensor:
        return functional.dropout(functional.leaky_relu(projected, 0.2), self.dropout, self.training)

    def _by_head(self, projected: Tensor) -> Tensor:
        """[nodes, heads * hidden_channels] -> [heads * nodes, hidden_channels]."""
        return projected.view(-1, self.heads, self.hidden_channels).transpose(0, 1).flatten(0, 1)


@channels.register(WalkPooling)
def _channels(layer: WalkPooling) -> Channels:  # noqa: ARG001
    """The channels of keys and queries stay: their number scales the attention."""
    return Channels(reads=(Axis("lin_key1.weight", 1), Axis("lin_query1.weight", 1)))


def _by_copy(ends: Tensor, nodes: int, copies: int) -> Tensor:
    """Positions [pairs, 2] in every copy of the nodes, [copies * pairs, 2]."""
    return (ends + nodes * torch.arange(copies, device=ends.device)[:, None, None]).flatten(0, 1)


def transitions(pattern: SymmetricPattern, logits: Tensor, ends: Tensor, link: Tensor) -> tuple[Tensor, Tensor]:
    """P-, the softmax of the edges' logits over each target, and the share of the link in the rows i and j of P+.

    Shapes: logits [edges]; ends [pairs, 2] the nodes i and j; link [pairs, 2] the logits of j -> i and i -> j;
    -> transition [edges], share [pairs, 2].
    """
    largest = pattern.target_maximum(logits)
    weight = torch.exp(logits - largest.index_select(0, pattern.row))
    total = pattern.neighbour_sum(weight, weight.new_ones(pattern.nodes, 1)).flatten()
    # The largest weight of a node with neighbours is 1, so that the clamp only meets nodes without any.
    total = total.clamp(min=0.5)
    neighbours = torch.where(pattern.degree[ends] > 0, _rows(total.log(), ends) + largest[ends], NO_NEIGHBOUR)
    return weight / total.index_select(0, pattern.row), torch.sigmoid(link - neighbours)


def walk_profile(pattern: SymmetricPattern, transition: Tensor, ends: Tensor, share: Tensor, longest: int) -> Tensor:
    """Probabilities of walks of the lengths 2 .. longest around pairs (i, j), with and without their link.

    For each length tau, in this order: tr P+^tau - tr P-^tau; [P+^tau]_ii + [P+^tau]_jj; the same for P-;
    [P+^tau]_ij + [P+^tau]_ji; the same for P-.

    No power of a matrix is formed. With the link, row i is (1 - share_i) P-_i + share_i e_j, and row j likewise, so
    P+ = P- + E D with E = [e_i, e_j] and D of two rows. From the walks between the ends, G(x) = sum_k x^k E'P-^k E,
    follow M(x) = sum_k x^k D P-^k E = diag(share) (swapped G(x) - (G(x) - 1) / x), the walks with the link
    G(x) (1 - x M(x))^-1, and, by the matrix determinant lemma, the difference of the traces
    sum_tau x^tau (tr P+^tau - tr P-^tau) = -x d/dx log det(1 - x M(x)). As power series they are exact.

    Shapes: transition [edges]; ends and share [pairs, 2] -> [pairs, 5 * (longest - 1)].
    """
    without = _walks_between_ends(pattern, transition, ends, longest)
    change = share[:, None, :, None] * (without[:, :-1].flip(2) - without[:, 1:])
    start = torch.zeros_like(without)
    start[:, 0] = torch.eye(2, dtype=start.dtype, device=start.device)
    growth = _toeplitz(change)
    right_sides = torch.cat([_side_by_side(without), _side_by_side(start)], dim=1)
    unit = torch.eye(growth.shape[1], dtype=growth.dtype, device=growth.device)
    solved = torch.linalg.solve_triangular(unit - growth, right_sides, upper=True, left=False, unitriangular=True)
    order = torch.arange(1, longest + 1, dtype=share.dtype, device=share.device)[:, None, None]
    traces = _blocks(solved[:, 2:] @ _toeplitz(order * change))
    with_link = _blocks(solved[:, :2])
    parts = [_trace(traces), _trace(with_link), _trace(without), _trace(with_link.flip(2)), _trace(without.flip(2))]
    return torch.cat([part[:, 2:] for part in parts], dim=1)


def _rows(table: Tensor, position: Tensor) -> Tensor:
    """`table[position]`, with a gradient that is faster than that of indexing; position [pairs, 2]."""
    return table.index_select(0, position.flatten()).unflatten(0, position.shape)


def _walks_between_ends(pattern: SymmetricPattern, transition: Tensor, ends: Tensor, longest: int) -> Tensor:
    """[P-^k] between the two ends for k = 0 .. longest, [pairs, longest + 1, 2, 2]."""
    walks = transition.new_zeros(pattern.nodes, 2)
    walks[ends[:, 0], 0] = 1
    walks[ends[:, 1], 1] = 1
    between = [_rows(walks, ends)]
    for _ in range(longest):
        walks = pattern.neighbour_sum(transition, walks)
        between.append(_rows(walks, ends))
    return torch.stack(between, dim=1)


def _toeplitz(series: Tensor) -> Tensor:
    """The matrix that multiplies a row of blocks, a power series, by x times `series` [pairs, terms, 2, 2].

    Block (m, k) is term k - m - 1, zero where there is none; [pairs, 2 * (terms + 1), 2 * (terms + 1)].
    """
    pairs, terms = series.shape[:2]
    position = torch.arange(terms + 1, device=series.device)
    lag = position - position[:, None] - 1
    padded = torch.cat([series, series.new_zeros(pairs, 1, 2, 2)], dim=1)
    blocks = padded.index_select(1, lag.where(lag >= 0, terms).flatten())
    blocks = blocks.view(pairs, terms + 1, terms + 1, 2, 2).transpose(2, 3)
    return blocks.reshape(pairs, 2 * (terms + 1), 2 * (terms + 1))


def _side_by_side(series: Tensor) -> Tensor:
    """[pairs, terms, 2, 2] -> [pairs, 2, 2 * terms]."""
    return series.transpose(1, 2).flatten(2)


def _blocks(row: Tensor) -> Tensor:
    """[pairs, 2, 2 * terms] -> [pairs, terms, 2, 2]."""
    return row.unflatten(2, (-1, 2)).transpose(1, 2)


def _trace(series: Tensor) -> Tensor:
    """Trace of each 2 x 2 block, [pairs, terms]."""
    return series[..., 0, 0] + series[..., 1, 1]

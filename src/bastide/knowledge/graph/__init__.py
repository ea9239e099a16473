"""Graph: who and what stands in the documents, how it is tied, when it was so; every edge points to its passage.

`extracted` reads one document without a model; `write_graphs` and `forget_graph` belong to the document's transaction.
`Graph` tells what readable documents say; its jobs have a model read (`EnrichJobs`) and group (`CommunityJobs`).
"""

from bastide.knowledge.graph.carried import MERGES_MAX, SPLITS_MAX, Meant, Part, Parted, Told, in_order
from bastide.knowledge.graph.communities import CommunityJobs
from bastide.knowledge.graph.enriching import EnrichJobs
from bastide.knowledge.graph.extracting import Extracted, extracted
from bastide.knowledge.graph.graph import Graph
from bastide.knowledge.graph.parting import part_again
from bastide.knowledge.graph.remaking import Decided, keys_named, remake, told
from bastide.knowledge.graph.values import GraphType
from bastide.knowledge.graph.writing import forget_graph, write_graphs

__all__ = [
    "MERGES_MAX",
    "SPLITS_MAX",
    "CommunityJobs",
    "Decided",
    "EnrichJobs",
    "Extracted",
    "Graph",
    "GraphType",
    "Meant",
    "Part",
    "Parted",
    "Told",
    "extracted",
    "forget_graph",
    "in_order",
    "keys_named",
    "part_again",
    "remake",
    "told",
    "write_graphs",
]

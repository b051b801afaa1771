"""What latencies are measured against: plain eager implementations, and the runtimes as they were."""

from bench.yardsticks.gin import eager_gin
from bench.yardsticks.gin_reference import reference_gin
from bench.yardsticks.gnnnet import eager_gnnnet
from bench.yardsticks.gnnnet_reference import reference_gnnnet
from bench.yardsticks.hgpsl import eager_hgpsl
from bench.yardsticks.hgpsl_reference import reference_hgpsl
from bench.yardsticks.ness import eager_ness
from bench.yardsticks.ness_reference import reference_ness
from bench.yardsticks.spline import eager_spline
from bench.yardsticks.spline_reference import reference_spline
from fixtures.inferences import EAGER, REFERENCE

EAGER |= {
    "gin": eager_gin,
    "gnnnet": eager_gnnnet,
    "hgpsl": eager_hgpsl,
    "ness": eager_ness,
    "spline": eager_spline,
}
REFERENCE |= {
    "gin": reference_gin,
    "gnnnet": reference_gnnnet,
    "hgpsl": reference_hgpsl,
    "ness": reference_ness,
    "spline": reference_spline,
}

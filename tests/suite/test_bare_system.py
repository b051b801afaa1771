"""A system that lacks /proc, affinities, glibc and counters: a run is green, and its record says why what is null."""

from pathlib import Path

from tests.suite.running import Suite, complaints

CASE = "planted-cora-node.spline.dense"


def test_what_a_system_lacks_is_null_with_its_reason(tmp_path: Path) -> None:
    selection = ("-k", "cora-node.spline.dense", "--seeds", "1", "--gate", "report")
    outcome = Suite(tmp_path).run("-n", "0", "-p", "tests.suite.bare_system", *selection)
    assert outcome.status == 0, outcome.output
    record, machine = outcome.records[CASE], outcome.results["machine"]
    # Not even "strict" asks for what cannot be had.
    assert complaints(record) == []
    assert record["instructions"]["ratio"] is None
    assert record["instructions"]["reason"] == "this kernel has no perf_event_open, or a container hides it"
    assert record["memory_bytes"]["peak_rss"] is None
    assert "no /proc/self/status" in record["memory_bytes"]["reason"]
    assert record["cpu_percent"] is None
    assert set(record["not_applicable"]) == {"instructions.ratio", "memory_bytes.peak_rss", "cpu_percent"}
    assert "does not tell the CPU time" in record["not_applicable"]["cpu_percent"]
    assert record["energy_j"]["source"] == "estimate"
    assert "rapl: /sys/class/powercap: No such file" in record["energy_j"]["reason"]
    unknown = ("affinity", "cpu_quota", "memory_bytes", "family", "governor", "boost", "c_library", "physical_cores")
    assert {name: machine[name] for name in unknown} == dict.fromkeys(unknown)
    assert machine["allocator"] == "default"

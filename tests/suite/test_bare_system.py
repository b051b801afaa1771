"""A system that lacks /proc, affinities, glibc and counters: a run is green, and its record says why what is null."""

from tests.suite.running import Suite


def test_what_a_system_lacks_is_null_with_its_reason(suite: Suite) -> None:
    options = ("-n", "0", "-p", "tests.suite.bare_system", "--gate", "strict")
    outcome = suite.run(*options, cases={"dense": ""}, faults="hurry")
    # Not even "strict" asks for what cannot be had.
    assert outcome.status == 0, outcome.output
    assert outcome.gate("dense") == ("pass", [])
    record, machine = outcome.records["dense"], outcome.results["machine"]
    assert record["instructions"]["ratio"] is None
    assert record["instructions"]["reason"] == "this kernel has no perf_event_open, or a container hides it"
    assert record["memory_bytes"]["peak_rss"] is None
    assert "no /proc/self/status" in record["memory_bytes"]["reason"]
    assert record["cpu_percent"] is None
    of_both = {f"{of}{field}" for of in ("", "training_") for field in ("memory_bytes.peak_rss", "cpu_percent")}
    assert set(record["not_applicable"]) == {"instructions.ratio", *of_both}
    assert "does not tell the CPU time" in record["not_applicable"]["cpu_percent"]
    assert record["energy_j"]["source"] == "estimate"
    assert "rapl: /sys/class/powercap: No such file" in record["energy_j"]["reason"]
    unknown = ("affinity", "cpu_quota", "memory_bytes", "family", "governor", "boost", "c_library", "physical_cores")
    assert {name: machine[name] for name in unknown} == dict.fromkeys(unknown)
    assert machine["allocator"] == "default"

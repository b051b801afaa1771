"""What no table has is said in one line each."""

from bench.report.sentences import compared_sentence


def test_what_another_tool_quantized_is_one_sentence() -> None:
    compared = {
        "tool": "Tool 1.0",
        "config": "Int8",
        "model": "bbbp gin",
        "quantized_layers": 3,
        "layers": 12,
        "integer_products": 0,
        "accuracy": 0.87654,
        "dense_accuracy": 0.9,
        "state_bytes": 12345,
        "dense_state_bytes": 1234567,
        "latency_s": 0.0012345,
        "speedup_to_forward": 0.51234,
        "speedup_to_runtime": 0.2501,
    }
    assert compared_sentence(compared) == (
        "Tool 1.0 Int8 on bbbp gin quantizes 3 of 12 layers (0 products on integers): accuracy 0.877 (dense 0.900), "
        "12,345 bytes of torch.save (dense 1,234,567), 1.23 ms, 0.512 times as fast as its own FP32 forward pass and "
        "0.25 times as our FP32 runtime"
    )

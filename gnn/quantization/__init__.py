"""Quantization-aware training: step sizes and bit widths that are learned with the weights."""

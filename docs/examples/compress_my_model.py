"""Compress a model that you have trained: run it as `python compress_my_model.py`."""

from my_package import Net, data

import gnn

task = gnn.node_task("papers", data).at(0)
net = Net(64)
gnn.fit(net, task, gnn.TrainingSettings(learning_rate=0.01, weight_decay=5e-4, epochs=100, patience=30), seed=0)

inputs = (data.x, data.edge_index)
small = gnn.compress(net, gnn.Structured(0.5), example=inputs)  # half of the weights, in narrower matrices
gnn.fine_tune(small.model, task, small.masks, gnn.TrainingSettings(0.005, 5e-4, epochs=30, patience=15), seed=0)
size_bytes = gnn.save(small.model, "small.safetensors", precision="int8")

loaded = gnn.load("small.safetensors", build=lambda: Net(64)).model  # what is shipped is what is measured
fast = gnn.compile(loaded, inputs)
print(f"accuracy {gnn.evaluate(net, task).score:.3f} before, {gnn.evaluate(loaded, task).score:.3f} after")
print(f"{size_bytes} bytes instead of {gnn.save(net, 'dense.safetensors')}")
print("layers on this library's kernels:", gnn.explain(fast))

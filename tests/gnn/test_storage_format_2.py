"""Files that this library wrote when it had registered models only are loaded for ever."""

import base64
from pathlib import Path

import pytest
import torch

from gnn import storage

# A GCN in INT8 with half its weights, and a GNNNet on integers of 4 bits, written by commit 30f3c4a.
GCN = (
    "6AIAAAAAAAB7Il9fbWV0YWRhdGFfXyI6eyJnbm4tY29tcHJlc3Npb24iOiJ7XCJ2ZXJzaW9uXCI6XCIyXCIsXCJtb2RlbFwiOlwiZ2NuXCIsXCJz"
    "ZXR0aW5nc1wiOntcImluX2NoYW5uZWxzXCI6NSxcIm91dF9jaGFubmVsc1wiOjMsXCJoaWRkZW5fY2hhbm5lbHNcIjoyLFwiZHJvcG91dFwiOjAu"
    "NX0sXCJ0YXNrXCI6XCJwbGFudGVkLXhcIixcInByZWNpc2lvblwiOlwiaW50OFwiLFwidGVuc29yc1wiOlwiSUk5VkFnRFNndzBSb0c4dTQwWldm"
    "NTd1WDdYcGtyRDE5eDczMi9tOW5WOGVoNEpvOXVZbi9JUGJNR2lmSjc0RlRBR3pNYWRxZ080RlFXRk13QVlHQUVNVFVJSWdTK2dGYkFQMlFsMnFE"
    "QT09XCIsXCJjb2RlY3NcIjpcIm1hc2s9Yml0cytzdG9yZWQgY29kZXM9c3RvcmVkIHNjYWxlcy5oaWdoPXN0b3JlZCBzY2FsZXMubG93PXN0b3Jl"
    "ZFwiLFwic2hhMjU2XCI6XCJjOWU2MWQ0ODgxM2NhMDE2ZDk2MjM5YWU5YWNlOGY2NDJmYTEwYzVkZTQzZDc1OWJkOTE5ZTliODFiM2FlNjg4XCJ9"
    "In0sImNvZGVzIjp7ImR0eXBlIjoiVTgiLCJzaGFwZSI6WzhdLCJkYXRhX29mZnNldHMiOlswLDhdfSwibWFzayI6eyJkdHlwZSI6IlU4Iiwic2hh"
    "cGUiOlszXSwiZGF0YV9vZmZzZXRzIjpbOCwxMV19LCJzY2FsZXMuaGlnaCI6eyJkdHlwZSI6IlU4Iiwic2hhcGUiOls1XSwiZGF0YV9vZmZzZXRz"
    "IjpbMTEsMTZdfSwic2NhbGVzLmxvdyI6eyJkdHlwZSI6IlU4Iiwic2hhcGUiOls1XSwiZGF0YV9vZmZzZXRzIjpbMTYsMjFdfX0gICAgICD93q/9"
    "9v39/A81AHd3eHd3yEQGZOg="
)
GNNNET = (
    "SAQAAAAAAAB7Il9fbWV0YWRhdGFfXyI6eyJnbm4tY29tcHJlc3Npb24iOiJ7XCJ2ZXJzaW9uXCI6XCIyXCIsXCJtb2RlbFwiOlwiZ25ubmV0XCIs"
    "XCJzZXR0aW5nc1wiOntcImluX2NoYW5uZWxzXCI6MyxcIm91dF9jaGFubmVsc1wiOjIsXCJoaWRkZW5fY2hhbm5lbHNcIjoyLFwibGF5ZXJzXCI6"
    "MSxcImRyb3BvdXRcIjowLjAsXCJmZWF0dXJlX3NjYWxpbmdcIjpcIm5vbmVcIn0sXCJ0YXNrXCI6XCJ4XCIsXCJwcmVjaXNpb25cIjpcImZwMzJc"
    "IixcInRlbnNvcnNcIjpcIllDY0UxUVlBWWdnYkdJQnRBOEJBSjluWmxZM2xHN1VEU0RMRk5BTUZaMmtDZ3RVZ3ZNaFRBU0JFOGQ2VDRXZFpDSnRq"
    "NEhUeE9Wc3AyYW0vL21VY0dWdUIyeTd5SGRZTWNaeS8zRVRycG10dnAvSW45TlpmSnZNaVZPOUdBTWh3QUdzZ2ZsOXIxbUVzdWExb29ES3l0QzF4"
    "WjRzS0xLQmhscUVpV3Q3VllrQklJSEsyY2FVTzFMM3ZYQXZGUDF5WDI1OW5BNFRBWUp1RDR0dDVSWG50WUVnSEFrY0ZFK1Jlc2tKVnhpeGwwSjJs"
    "Unp1Z05NaTVJL2NXa1h2NkhlUEhOSE5tUUFmb2xjblFGNGdTbWMyL2M0Q1QrekZ6UjZZVUFwRXB5NldBV1FVPVwiLFwiY29kZWNzXCI6XCJtYXNr"
    "PWJpdHMrc3RvcmVkIGZsb2F0cy5oaWdoPWx6bWEgZmxvYXRzLmxvdz16c3RkIG90aGVycz1zdG9yZWRcIixcInNoYTI1NlwiOlwiNzM2YWMyNzYw"
    "NDE2MmZmYTM3ZTdhNDc3NzFiMWY4Y2I0N2ZjM2I1YjllODNjYTE1Mjg0YjdhYjk1NjQ5M2ZkM1wiLFwicXVhbnRpemF0aW9uXCI6e1wia2luZFwi"
    "OlwicmFuZ2VcIixcImJpdF93aWR0aFwiOjQsXCJmcDMyX2xheWVyc1wiOltdLFwiZnAzMl9zaXRlc1wiOltdLFwiZ3JvdXBzXCI6MSxcIm5vbm5l"
    "Z2F0aXZlXCI6W119fSJ9LCJmbG9hdHMuaGlnaCI6eyJkdHlwZSI6IlU4Iiwic2hhcGUiOlsxOF0sImRhdGFfb2Zmc2V0cyI6WzAsMThdfSwiZmxv"
    "YXRzLmxvdyI6eyJkdHlwZSI6IlU4Iiwic2hhcGUiOlsxOF0sImRhdGFfb2Zmc2V0cyI6WzE4LDM2XX0sIm1hc2siOnsiZHR5cGUiOiJVOCIsInNo"
    "YXBlIjpbM10sImRhdGFfb2Zmc2V0cyI6WzM2LDM5XX0sIm90aGVycyI6eyJkdHlwZSI6IlU4Iiwic2hhcGUiOls3XSwiZGF0YV9vZmZzZXRzIjpb"
    "MzksNDZdfX0gICAgAD9k20rW3syxo+wMO//+sDgAIEJtAABCQQGAEIoqFQEAm0AI///8BwgJAAcIAA=="
)
GCN_STATE = {
    "conv1.bias": [0.0, 0.0],
    "conv1.lin.weight": [
        [0.0, 0.0, -0.8836669921875, -0.6123046875, 0.0],
        [0.0, 0.0, 0.5537109375, -0.62786865234375, 0.0],
    ],
    "conv2.bias": [0.0, 0.0, 0.0],
    "conv2.lin.weight": [[0.991455078125, -1.01544189453125], [-0.68988037109375, 0.0], [0.0, 0.9456787109375]],
}


@pytest.fixture(params=["gcn", "gnnnet"])
def loaded(request: pytest.FixtureRequest, tmp_path: Path) -> storage.LoadedModel:
    path = tmp_path / "model"
    path.write_bytes(base64.b64decode({"gcn": GCN, "gnnnet": GNNNET}[request.param]))
    return storage.load(path)


def test_a_file_of_format_2_is_loaded_and_written_again(loaded: storage.LoadedModel, tmp_path: Path) -> None:
    content = (tmp_path / "model").read_bytes()
    names = {"model_name": loaded.model_name, "task": loaded.task, "precision": loaded.precision}
    storage.save(loaded.model, tmp_path / "again", **names)
    assert (tmp_path / "again").read_bytes() == content
    state = loaded.model.state_dict()
    if loaded.model_name == "gcn":
        assert (loaded.task, loaded.precision) == ("planted-x", "int8")
        assert {name: tensor.tolist() for name, tensor in state.items()} == GCN_STATE
    else:
        assert loaded.model.quantization.bit_width == 4
        assert state["gnn_layers.0.lin.product.weights.0.packed"].tolist() == [7, 8, 9]
        assert state["mlps.0.bias"].tolist() == [0.5, 0.5]
        assert torch.isinf(state["mlps.0.product.inputs.minimum"])

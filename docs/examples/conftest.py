pytest_plugins = ["pytest_gnn"]

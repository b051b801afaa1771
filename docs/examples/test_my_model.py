from my_package import Net, data

import gnn

TASK = gnn.node_task("papers", data)
MODEL = gnn.Model("net", build=lambda: Net(64))


@gnn.cases(TASK, MODEL, gnn.GlobalMagnitude(0.8), gnn.Structured(0.5), gnn.PostTraining(8), seeds=3, fine_tune=True)
def test_my_model(case, judge):
    judge(case)

"""Where runs go: on this machine, to a Ray cluster, through kfp's local runner, to a Kubeflow cluster."""

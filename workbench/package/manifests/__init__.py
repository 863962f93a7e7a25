"""What a cluster needs to serve a package: documents as data, and their YAML.

* `kubernetes`   Deployment, Service, HorizontalPodAutoscaler or KEDA ScaledObject, HTTPRoute for a canary
* `kserve`       InferenceService with an ``oci://`` model
* `yaml`         the text
"""

from .yaml import dump

__all__ = ["dump"]

"""The Kubeflow skin: one thin component a module, each a call into the library."""

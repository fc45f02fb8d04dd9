"""Ways to run the graph: here on this machine, compiled for a cluster, submitted to one, on its schedule."""

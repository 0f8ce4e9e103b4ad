"""A Ray cluster of two nodes on this machine, as a program: prints its address, and ends when its input does.

`kill` on its input takes the second node away, as a machine that breaks does.
"""

import sys

from ray.cluster_utils import Cluster

NODE = {"num_cpus": 1, "object_store_memory": 100_000_000, "include_dashboard": False}

cluster = Cluster(initialize_head=True, head_node_args={**NODE, "node_ip_address": "127.0.0.2"}, shutdown_at_exit=False)
second = cluster.add_node(num_cpus=1, object_store_memory=100_000_000, node_ip_address="127.0.0.2")
cluster.wait_for_nodes()
print(cluster.address, flush=True)
for line in sys.stdin:
    if line.strip() == "kill":
        cluster.remove_node(second, allow_graceful=False)
        print("killed", flush=True)
cluster.shutdown()  # type: ignore[no-untyped-call, unused-ignore]  # as ray is installed or not

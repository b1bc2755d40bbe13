"""The data plane: the sidecar that serves requests from the live table.

It imports `controlplane.table`, the contract, and nothing else of the control plane.
"""

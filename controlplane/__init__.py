"""The control plane: watches manifests, reconciles them, and owns the table.

It never imports the data plane. What both share is `controlplane.table`, the contract.
"""

"""The contract between the planes: table types, breakers, routing, live state, snapshots.

Pure: the standard library only, no I/O, no clock, no randomness. Time and random numbers are
arguments. The data plane imports this package and nothing else of the control plane.
"""

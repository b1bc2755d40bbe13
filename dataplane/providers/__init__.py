"""One file a provider type; `dataplane.registry` finds them."""

"""Where manifests come from: each source yields whole manifest sets, never deltas."""

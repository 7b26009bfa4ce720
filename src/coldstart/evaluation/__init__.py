"""How methods are compared: one protocol, per-user metrics, intervals, canaries and the gate."""

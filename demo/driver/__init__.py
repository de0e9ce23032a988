"""The parts of the demo's story: processes, the HTTP API, the screen, and the sums at the end."""

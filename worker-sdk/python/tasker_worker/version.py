"""The version of this package, as it is announced to the coordinator."""

VERSION = "0.1.0"

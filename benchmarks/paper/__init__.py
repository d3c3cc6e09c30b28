"""The experiments of the paper, and some past it, each as one command; see README.md there."""

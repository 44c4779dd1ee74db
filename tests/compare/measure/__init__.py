"""What `compare` and `allreduce` are made of. Python's standard library only: the contenders have the rest."""
